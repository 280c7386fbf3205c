"""Runs a second through one dispatcher with containers that cost nothing, beside plain Celery no-op tasks.

Both workers are Celery workers of the same pool and concurrency on the same Redis; the baseline's task returns at
once. Everything shares the machine: Redis, the local AWS and the bridge as well, which plain Celery does not need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from celery import Celery, chord, group

from dagy_queue import fan_out, launch_sig
from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from scripts.benchmarks.figures import Figure, Stopwatch, measured
from scripts.benchmarks.scene import STUB, running_scene

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
    with running_scene() as scene:
        app = plain_app()
        app.set_default()
        worker = _plain_worker(scene.stack)
        try:
            plain = _measure(lambda: _plain_chord(app), worker)
            single = _measure(lambda: chord([launch_sig(STUB) for _ in range(RUNS)])(_collect(app)), scene.dispatcher)
            shards = _measure(
                lambda: fan_out(STUB, shards=[{}] * RUNS, callback=_collect(app)).result, scene.dispatcher, scene.bridge
            )
        finally:
            worker.stop()
    yield Figure("plain Celery no-op tasks in a chord (baseline)", _shown(plain))
    yield Figure("launches in a hand-made chord", _shown(single, plain))
    yield Figure("shards of a fan-out", _shown(shards, plain))
    yield Figure("the bridge, per run of six events", f"{shards.cpu['bridge'] / RUNS * 1000:.2f} ms of CPU")


def _shown(watch: Stopwatch, baseline: Stopwatch | None = None) -> str:
    cpu = watch.cpu["worker"] / RUNS * 1000
    text = f"{RUNS / watch.seconds:.0f}/s, {cpu:.2f} ms of the worker's CPU each"
    if baseline is None:
        return text
    more = watch.cpu["worker"] / baseline.cpu["worker"]
    return f"{text}: {baseline.seconds / watch.seconds:.2f} of plain, {more:.1f} times its CPU"


def _plain_worker(stack: LocalStack) -> Child:
    command = [sys.executable, "-m", "celery", "-A", "scripts.benchmarks.throughput", "worker", "--pool=threads"]
    options = ["--concurrency=16", "--queues=plain", "--loglevel=warning", "--hostname=plain@%h"]
    return Child("plain", [*command, *options], log=stack.log_dir / "plain.log")


def _plain_chord(app: Celery) -> object:
    header = group(app.signature("plain.nothing", queue="plain") for _ in range(RUNS))
    return chord(header)(_collect(app))


def _collect(app: Celery) -> object:
    return app.signature("plain.collect", queue="plain")


def _measure(publish: Callable[[], Any], worker: Child, bridge: Child | None = None) -> Stopwatch:
    """Measure from the first message to the callback's result, after a first round that warms everything up."""
    watched = {"worker": worker.pid} | ({"bridge": bridge.pid} if bridge else {})
    for _ in range(2):
        with measured(**watched) as watch:
            assert publish().get(timeout=WAIT, follow_parents=False) == RUNS
    return watch
