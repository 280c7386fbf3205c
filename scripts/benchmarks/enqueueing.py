"""What enqueueing costs the caller, and what a batch costs the ledger: against real Redis, nothing else running."""

from __future__ import annotations

from collections.abc import Iterator

from celery import Celery, group

from dagy_queue import DagLauncher, fan_out, load_settings
from dagy_queue.dispatch import expansion
from dagy_queue.dispatch.services import Services
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.messaging.app import make_app
from scripts.benchmarks.figures import Figure, measured

SHARDS = 10_000
LAUNCHES = 1_000
RUNS = 5


def run() -> Iterator[Figure]:
    """Measure."""
    server = RedisServer()
    server.start()
    try:
        yield from _measure(server.url)
    finally:
        server.stop()


def _measure(url: str) -> Iterator[Figure]:
    settings = load_settings(redis={"url": url})
    launcher = DagLauncher(settings)
    shards = [{"month": n} for n in range(SHARDS)]
    fan_out(flow_name="f", org_id="bench", shards=shards[:10], launcher=launcher)
    times = []
    for _ in range(RUNS):
        with measured() as caller:
            batch = fan_out(flow_name="f", org_id="bench", shards=shards, launcher=launcher)
        times.append(caller.seconds)
    what = f"enqueue a batch of {SHARDS:,} shards (best of {RUNS})"
    yield Figure(what, f"{min(times) * 1000:.0f} ms in the caller", "50 ms")

    with measured() as plain:
        _plain_group(url)
    yield Figure(
        f"the same number of tasks as a Celery group (baseline, {LAUNCHES:,} scaled up)",
        f"{plain.seconds * SHARDS / LAUNCHES * 1000:.0f} ms in the caller",
    )

    app = make_app(settings)
    services = Services.build(settings, app)
    before = services.redis.client.info("memory")["used_memory"]
    with measured() as expand:
        expansion.expand(services, batch.batch_id, batch.batch_id)
    used = services.redis.client.info("memory")["used_memory"] - before
    yield Figure("expansion into the ledger", f"{SHARDS / expand.seconds:,.0f} shards/s", "20,000 shards/s")
    yield Figure("memory of an expanded shard (the spec's share freed)", f"{used / SHARDS:.0f} bytes", "2,500 bytes")

    launcher.enqueue(flow_name="f", org_id="bench")
    with measured() as singles:
        for _ in range(LAUNCHES):
            launcher.enqueue(flow_name="f", org_id="bench")
    yield Figure("single launches, one after the other", f"{LAUNCHES / singles.seconds:,.0f}/s")


def _plain_group(url: str) -> None:
    app = Celery("plain", broker=url, backend=url, set_as_current=False)
    group(app.signature("plain.nothing", queue="plain") for _ in range(LAUNCHES)).apply_async()
