"""A fan-out of 10,000 shards beside one of 1,000 on a simulated cluster: does a shard of the large one cost more?

One dispatcher, one bridge, no quotas; containers are only a timer. The callback checks that it has every result in
order. The bridge's records of runs follow ``DAGY_QUEUE__RECORDS__ENABLED`` of the environment.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from celery import Celery

from dagy_queue import BatchHandle, Phase, fan_out
from dagy_queue.ids import new_id
from dagy_queue.ledger import RedisConnection
from dagy_queue.local.processes import Child
from scripts.benchmarks.figures import Figure, Stopwatch, measured
from scripts.benchmarks.scene import STUB, Scene, running_scene

SMALL, LARGE, LIVE = 1_000, 10_000, 3_000
WAIT = 600
SETTLED_LOOKS, SETTLED_BYTES = 4, 64 * LIVE
"""Memory has settled when looks in a row, half a second apart, differ by less than this: 64 bytes a run."""
CALLS = "bench:callbacks"


def checking_app() -> Celery:
    """Return an app with a callback that checks what it is given, and counts how often it is called."""
    url = os.environ["DAGY_REDIS_URL"]
    app = Celery("checking", broker=url, backend=url)
    app.conf.update(task_default_queue="checking", broker_connection_retry_on_startup=True)

    @app.task(name="checking.in_order")
    def in_order(results: Any, batch_id: str) -> int:
        app.backend.client.incr(f"{CALLS}:{batch_id}")
        expected = [f"{batch_id}:{shard}" for shard in range(len(results))]
        assert [result["correlation_id"] for result in results] == expected
        return len(results)

    return app


def __getattr__(name: str) -> Celery:
    """``app``: for ``celery -A scripts.benchmarks.large_fan_out worker``."""
    if name in ("app", "celery"):
        return checking_app()
    raise AttributeError(name)


def run() -> Iterator[Figure]:
    """Measure."""
    with running_scene(simulate=True) as scene:
        app = checking_app()
        app.set_default()
        command = [sys.executable, "-m", "celery", "-A", "scripts.benchmarks.large_fan_out", "worker"]
        options = ["--pool=threads", "--concurrency=2", "--queues=checking", "--loglevel=warning"]
        worker = Child("checking", [*command, *options], log=scene.stack.log_dir / "checking.log")
        try:
            yield from _measure(scene, app)
        finally:
            worker.stop()


def _measure(scene: Scene, app: Celery) -> Iterator[Figure]:
    _timed(scene, app, SMALL)  # warms everything up
    small, _, _ = _timed(scene, app, SMALL)
    connection = RedisConnection(scene.stack.settings().redis)
    large, enqueued, batch = _timed(scene, app, LARGE)
    yield Figure(f"{SMALL:,} shards, from the fan-out to the callback's result (baseline)", _shown(small, SMALL))
    yield Figure(f"{LARGE:,} shards", _shown(large, LARGE))
    time_ratio = (large.seconds / LARGE) / (small.seconds / SMALL)
    yield Figure("time of a shard of the large one to one of the small", f"{time_ratio:.2f}", "1.15")
    yield Figure(
        "the same in CPU of dispatcher, bridge and Redis", f"{_cpu(large, LARGE) / _cpu(small, SMALL):.2f}", "1.15"
    )
    yield Figure(f"enqueue {LARGE:,} shards", f"{enqueued * 1000:.0f} ms in the caller", "50 ms")
    calls = connection.client.get(f"{CALLS}:{batch.batch_id}")
    yield Figure("the callback with all results in order", f"called {calls} time", "once")
    yield _memory(connection)


def _timed(scene: Scene, app: Celery, shards: int) -> tuple[Stopwatch, float, BatchHandle]:
    """Measure up to the callback's result; return that, the seconds in the caller, and the batch."""
    batch_id = new_id()
    callback = app.signature("checking.in_order", kwargs={"batch_id": batch_id}, queue="checking")
    processes = {"dispatcher": scene.dispatcher.pid, "bridge": scene.bridge.pid, "redis": scene.stack.redis.child.pid}
    with measured(**processes) as watch:
        with measured() as caller:
            batch = fan_out(STUB, [{}] * shards, callback=callback, batch_id=batch_id)
        assert batch.get(timeout=WAIT) == shards
    return watch, caller.seconds, batch


def _memory(connection: RedisConnection) -> Figure:
    """Weigh runs that live, with a dispatcher and a bridge at work on them."""
    before = _settled(connection)
    batch = fan_out(STUB, [{"command": ["3600", "0"]}] * LIVE)
    while batch.progress().by_phase.get(Phase.RUNNING, 0) < LIVE:
        time.sleep(0.5)
    used = _settled(connection) - before
    return Figure(f"ledger and results in Redis, each of {LIVE:,} live runs", f"{used / LIVE:,.0f} bytes", "2,500")


def _settled(connection: RedisConnection) -> int:
    """Return Redis's memory once it no longer changes: the last events are noted, broker buffers are free again."""
    deadline = time.monotonic() + WAIT
    last: list[int] = []
    while time.monotonic() < deadline:
        last = [*last, connection.client.info("memory")["used_memory"]][-SETTLED_LOOKS:]
        if len(last) == SETTLED_LOOKS and max(last) - min(last) < SETTLED_BYTES:
            return last[-1]
        time.sleep(0.5)
    raise TimeoutError(f"Redis's memory did not settle within {WAIT} seconds: {last}")


def _cpu(watch: Stopwatch, shards: int) -> float:
    """Return the milliseconds of CPU that a shard took."""
    return sum(watch.cpu.values()) / shards * 1000


def _shown(watch: Stopwatch, shards: int) -> str:
    rate = f"{watch.seconds:.1f} s, {shards / watch.seconds:.0f}/s"
    return f"{rate}, {_cpu(watch, shards):.2f} ms of CPU each"
