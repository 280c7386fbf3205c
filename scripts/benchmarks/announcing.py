"""What task events cost a fan-out: rounds with a listener and rounds without take turns, on one stack.

Each round is held against its neighbour, because the machine is never quiet, and the median of these ratios counts. The
listener reads events and does nothing with them; what Flower itself makes of them is measured last. What the ledger
spends on noting changes is Redis's own count of the time of XADD.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from redis import Redis

from dagy_queue import fan_out
from dagy_queue.bridge.announcer import BEAT_SECONDS
from dagy_queue.local.free_port import free_port
from dagy_queue.local.processes import Child
from dagy_queue.local.readiness import flower_ready
from scripts.benchmarks.figures import Figure, Stopwatch, measured
from scripts.benchmarks.scene import STUB, Scene, running_scene

RUNS = 400
PAIRS = 10
TARGET = 0.95
WAIT = 300
_EVENTS = "/0.celeryev/task.*"
_OURS = ("dispatcher", "bridge", "redis")
_QUIET = 1.5
"""Seconds without an event after which all has been announced."""


def run() -> Iterator[Figure]:
    """Measure."""
    unread, read = [], []
    with running_scene() as scene:
        client = Redis.from_url(scene.stack.redis_url)
        _round(scene)  # warms everything up
        for _ in range(PAIRS):
            time.sleep(BEAT_SECONDS + 1)  # the monitor finds out that nobody listens any more
            unread.append(_round(scene))
            client.delete("dagy:watched")  # or the listener would be told of all rounds once more
            with _listener(client):
                read.append(_round(scene))
        yield Figure("events, and nobody reads them (baseline)", _shown(unread))
        rate = median(before.seconds / after.seconds for before, after in zip(unread, read, strict=True))
        cpu = median(_cpu(after) / _cpu(before) for before, after in zip(unread, read, strict=True))
        text = f"{_shown(read)}: {rate:.2f} of the rate, {cpu:.2f} times the CPU"
        yield Figure("events, and somebody reads them", text, f"{TARGET:g} of the rate")
        noting = client.info("commandstats")["cmdstat_xadd"]
        spent = noting["usec"] / ((2 * PAIRS + 1) * RUNS) / 1000
        yield Figure("Redis's time for noting changes, in that", f"{spent:.3f} ms a shard")
        yield Figure("Flower's own CPU", f"{_flower(scene):.2f} ms a shard")


@contextmanager
def _listener(client: Redis) -> Iterator[None]:
    """Subscribe as a monitor does; before the round, wait until it hears and all that was before has been announced."""
    heard: list[float] = []
    with client.pubsub(ignore_subscribe_messages=True) as listening:
        listening.psubscribe(**{_EVENTS: lambda _message: heard.append(time.monotonic())})
        thread = listening.run_in_thread(sleep_time=0.5)
        try:
            _until(lambda: heard and time.monotonic() - heard[-1] > _QUIET)
            yield
        finally:
            thread.stop()
            thread.join()


def _flower(scene: Scene) -> float:
    """Return the milliseconds of CPU that a Flower spends for each shard."""
    port = free_port()
    flower = scene.stack.spawn("flower", f"--port={port}", label="flower")
    flower.wait_until(lambda: flower_ready(port), WAIT, "serving pages")
    _round(scene)
    return _round(scene, flower).cpu["flower"] / RUNS * 1000


def _round(scene: Scene, *others: Child) -> Stopwatch:
    processes = {"dispatcher": scene.dispatcher.pid, "bridge": scene.bridge.pid, "redis": scene.stack.redis.child.pid}
    with measured(**processes, **{child.name: child.pid for child in others}) as watch:
        assert len(fan_out(STUB, shards=[{}] * RUNS).get(timeout=WAIT)) == RUNS
        if others:
            time.sleep(BEAT_SECONDS)  # what was announced last
    return watch


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "the listener never heard what it should"
        time.sleep(0.1)


def _cpu(watch: Stopwatch) -> float:
    """Return milliseconds of CPU of dispatcher, bridge and Redis for each shard."""
    return sum(watch.cpu[name] for name in _OURS) / RUNS * 1000


def _shown(watches: list[Stopwatch]) -> str:
    rate = RUNS / median(watch.seconds for watch in watches)
    parts = [f"{name} {median(watch.cpu[name] for watch in watches) / RUNS * 1000:.2f}" for name in _OURS]
    return f"{rate:.0f}/s, {median(map(_cpu, watches)):.2f} ms of CPU a shard ({', '.join(parts)})"
