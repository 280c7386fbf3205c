"""The dispatcher process: a Celery worker with our tasks, the pump as a bootstep, and the revoke command.

``dagy-queue dispatcher`` calls :func:`run_dispatcher`; ``celery -A dagy_queue.dispatch.worker worker`` is the same
without the health check.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import structlog
from celery import Celery, bootsteps

from dagy_queue.aws.clients import AwsClients
from dagy_queue.dispatch.batch_tasks import register_batches
from dagy_queue.dispatch.health import cluster_and_region, require_health
from dagy_queue.dispatch.launcher import Launcher
from dagy_queue.dispatch.pump import Pump
from dagy_queue.dispatch.revoke import Canceller, install
from dagy_queue.dispatch.services import Services
from dagy_queue.dispatch.tasks import register_launch
from dagy_queue.messaging.app import make_app
from dagy_queue.messaging.names import FAN_OUT_QUEUE, LAUNCH_QUEUE
from dagy_queue.messaging.publication import enter_on_publish
from dagy_queue.records.models import bind_models
from dagy_queue.settings import Settings, settings

log = structlog.get_logger(__name__)


def make_dispatcher_app(config: Settings) -> Celery:
    """Return an app whose workers are dispatchers."""
    app = make_app(config)
    services = Services.build(config, app)
    launcher = Launcher(services)
    register_launch(app, services)
    register_batches(app, services)
    bind_models(config)
    enter_on_publish()
    install(Canceller(services))

    class PumpStep(bootsteps.StartStopStep):
        """Runs the pump for as long as the worker runs."""

        def create(self, parent: Any) -> Any:  # noqa: ARG002 - Celery's signature
            return Pump(services, launcher)

    app.steps["worker"].add(PumpStep)
    return app


@lru_cache(maxsize=1)
def default_dispatcher_app() -> Celery:
    """Return the dispatcher app of this process's settings."""
    return make_dispatcher_app(settings())


def run_dispatcher(config: Settings, *, concurrency: int | None = None, name: str = "", loglevel: str = "info") -> None:
    """Run a dispatcher until it is told to stop. Raises HealthCheckFailed if it could not work."""
    if config.dispatch.check_health_on_startup:
        _, region = cluster_and_region(config)
        require_health(config, AwsClients(config.aws, max_connections=1).in_region(region))
    app = make_dispatcher_app(config)
    arguments = [
        "worker",
        "--pool=threads",
        f"--concurrency={concurrency or config.dispatch.concurrency}",
        f"--queues={LAUNCH_QUEUE},{FAN_OUT_QUEUE}",
        f"--hostname={name or f'dispatcher-{os.getpid()}'}@%h",
        f"--loglevel={loglevel}",
        "--task-events",
        # Revocations are kept in the ledger, so workers need not tell each other (and start a second sooner).
        "--without-mingle",
        "--without-gossip",
    ]
    app.worker_main(arguments)


def __getattr__(name: str) -> Any:
    """``app``: what ``celery -A dagy_queue.dispatch.worker`` looks for; made when asked for."""
    if name in ("app", "celery"):
        return default_dispatcher_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
