"""Runs a second through one dispatcher with containers that cost nothing, beside plain Celery no-op tasks.

Both workers are Celery workers of the same pool and concurrency on the same Redis; the baseline's task returns at
once. Everything shares the machine: Redis, the local AWS and the bridge as well, which plain Celery does not need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from celery import Celery, chord, group

from dagy_queue import fan_out, launch_sig
from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from scripts.benchmarks.figures import Figure, measured
from scripts.benchmarks.scene import STUB, running_stack

RUNS = 1000
WAIT = 300


def plain_app() -> Celery:
    """Return an app with a task that does nothing and one that returns what it is given."""
    url = os.environ["DAGY_REDIS_URL"]
    app = Celery("plain", broker=url, backend=url)
    app.conf.update(
        task_default_queue="plain",
        broker_connection_retry_on_startup=True,
        task_acks_late=True,
        worker_prefetch_multiplier=1,
    )

    @app.task(name="plain.nothing")
    def nothing() -> int:
        return 0

    @app.task(name="plain.collect")
    def collect(results: list[object]) -> int:
        return len(results)

    return app


def __getattr__(name: str) -> Celery:
    """``app``: for ``celery -A scripts.benchmarks.throughput worker``."""
    if name in ("app", "celery"):
        return plain_app()
    raise AttributeError(name)


def run() -> Iterator[Figure]:
    """Measure."""
    with running_stack() as stack:
        app = plain_app()
        app.set_default()
        worker = _plain_worker(stack)
        try:
            baseline = _rate(lambda: _plain_chord(app))
            single = _rate(lambda: chord([launch_sig(STUB) for _ in range(RUNS)])(_collect(app)))
            shards = _rate(lambda: fan_out(STUB, shards=[{}] * RUNS, callback=_collect(app)).result)
        finally:
            worker.stop()
    yield Figure("plain Celery no-op tasks in a chord", f"{baseline:.0f}/s")
    yield Figure("launches in a hand-made chord", f"{single:.0f}/s = {single / baseline:.2f} of plain", "0.35 of plain")
    yield Figure("shards of a fan-out", f"{shards:.0f}/s = {shards / baseline:.2f} of plain", "0.6 of plain")


def _plain_worker(stack: LocalStack) -> Child:
    command = [sys.executable, "-m", "celery", "-A", "scripts.benchmarks.throughput", "worker", "--pool=threads"]
    options = ["--concurrency=16", "--queues=plain", "--loglevel=warning", "--hostname=plain@%h"]
    return Child("plain", [*command, *options], log=stack.log_dir / "plain.log")


def _plain_chord(app: Celery) -> object:
    header = group(app.signature("plain.nothing", queue="plain") for _ in range(RUNS))
    return chord(header)(_collect(app))


def _collect(app: Celery) -> object:
    return app.signature("plain.collect", queue="plain")


def _rate(publish: object) -> float:
    """Return runs a second from the first message to the callback's result; the first tenth of a second warms up."""
    for _ in range(2):
        with measured() as watch:
            result = publish()  # type: ignore[operator]
            assert result.get(timeout=WAIT, follow_parents=False) == RUNS
    return RUNS / watch.seconds
