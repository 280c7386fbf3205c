"""What enqueueing costs the caller, and what a batch costs the ledger: against real Redis, nothing else running."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from celery import Celery, group

from dagy_queue import BatchHandle, ContainerRequest, DagLauncher, LaunchRequest, fan_out, load_settings
from dagy_queue.dispatch import expansion
from dagy_queue.dispatch.services import Services
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.messaging.app import make_app
from dagy_queue.requests import RunRequest, parse_request
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
    container = ContainerRequest(org_id="bench", image="job:1")
    commands = [{"command": ["process", str(n)], "extra_env_vars": {"MONTH": str(n)}} for n in range(SHARDS)]
    what = f"enqueue a batch of {SHARDS:,} containers (best of {RUNS})"
    yield Figure(what, f"{_best(launcher, container, commands)[0] * 1000:.0f} ms in the caller", "50 ms")
    with measured() as requests:
        for differs in commands:
            parse_request({"org_id": "bench", "image": "job:1", **differs}, ContainerRequest)
    yield Figure("make a request of each of them (baseline)", f"{requests.seconds * 1000:.0f} ms")

    flow = LaunchRequest(org_id="bench", flow_name="f")
    seconds, batch = _best(launcher, flow, [{"month": n} for n in range(SHARDS)])
    what = f"enqueue a batch of {SHARDS:,} shards of a flow (best of {RUNS})"
    yield Figure(what, f"{seconds * 1000:.0f} ms in the caller", "50 ms")

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


def _best(launcher: DagLauncher, request: RunRequest, shards: list[dict[str, Any]]) -> tuple[float, BatchHandle]:
    """Return the seconds of the quickest of some fan-outs, and the last one."""
    batch = fan_out(request, shards[:10], launcher=launcher)
    times = []
    for _ in range(RUNS):
        with measured() as caller:
            batch = fan_out(request, shards, launcher=launcher)
        times.append(caller.seconds)
    return min(times), batch


def _plain_group(url: str) -> None:
    app = Celery("plain", broker=url, backend=url, set_as_current=False)
    group(app.signature("plain.nothing", queue="plain") for _ in range(LAUNCHES)).apply_async()
