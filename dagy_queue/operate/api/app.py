"""Puts the API together. The server and the Lambda handler call :func:`create_app`."""

from __future__ import annotations

from fastapi import FastAPI

from dagy_queue import __version__
from dagy_queue.operate.api import batches, lists, probes, runs
from dagy_queue.operate.api.desk import Desk
from dagy_queue.operate.api.failures import answer_errors
from dagy_queue.operate.api.local_callers import LocalCallers
from dagy_queue.settings import Settings

DESCRIPTION = (
    "Launches flows on AWS ECS by way of the queue, and says how they do. It answers at once; runs take their time."
)


def create_app(config: Settings) -> FastAPI:
    """Return the API for some settings. Nothing is connected to before the first request."""
    app = FastAPI(title="dagy-queue", version=__version__, description=DESCRIPTION, redoc_url=None)
    app.state.desk = Desk.of(config)
    if not config.api.tokens:
        app.add_middleware(LocalCallers)
    for router in (runs.router, lists.router, batches.router, probes.router):
        app.include_router(router)
    answer_errors(app)
    return app
