"""An application of a user's own: its Celery app and tasks, on its own queue, on the same Redis."""

from __future__ import annotations

import os
from typing import Any

import redis
from celery import Celery

from dagy_queue import launch_sig

QUEUE = "application"


def make_application(redis_url: str) -> Celery:
    """Return the application's Celery app, made current as an application's is."""
    app = Celery("application", broker=redis_url, backend=redis_url)
    app.conf.update(task_default_queue=QUEUE, broker_connection_retry_on_startup=True, result_extended=True)
    record = redis.Redis.from_url(redis_url, decode_responses=True)

    @app.task(name="app.identity")
    def identity(value: Any) -> Any:
        return value

    @app.task(name="app.add_up")
    def add_up(values: list[int]) -> int:
        return sum(values)

    @app.task(name="app.note")
    def note(value: Any, key: str) -> Any:
        """Keep what was called back with, for a test to find."""
        record.rpush(f"noted:{key}", repr(value))
        return value

    @app.task(name="app.note_failure")
    def note_failure(task_id: str, key: str) -> None:
        record.rpush(f"noted:{key}", task_id)

    @app.task(name="app.replaced", bind=True)
    def replaced(self: Any, value: Any) -> Any:
        raise self.replace(launch_sig(flow_name="echo", org_id="acme", parameters={"value": value}))

    @app.task(name="app.measure")
    def measure(results: Any) -> dict[str, Any]:
        """Say what a callback was given, and how much of it there is."""
        return {"type": type(results).__name__, "count": len(results), "characters": sum(map(len, results))}

    @app.task(name="app.fail")
    def fail(*_: Any) -> None:
        raise RuntimeError("the callback failed")

    return app


def __getattr__(name: str) -> Any:
    """``app``: for ``celery -A tests.integration.application worker``."""
    if name in ("app", "celery"):
        return make_application(os.environ["DAGY_REDIS_URL"])
    raise AttributeError(name)
