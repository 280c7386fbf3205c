"""Decisions a second of the admission queue: the lease script alone, on a real Redis, with every limit set.

The baseline is a PING for each decision on the same connection: what a round trip without a decision would cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dagy_queue import load_settings
from dagy_queue.ids import new_id, shard_id
from dagy_queue.ledger import AdmissionLedger, BatchLedger, Continuation, RedisConnection
from dagy_queue.ledger.admission import Limits, Rate
from dagy_queue.ledger.runs import Place
from dagy_queue.local.redis_server import RedisServer
from scripts.benchmarks.figures import Figure, measured

RUNS = 20_000
ORGS = 20
PLENTY = 10**9
LIMITS = Limits(
    calls=Rate(PLENTY, PLENTY),
    launches=Rate(PLENTY, PLENTY),
    tasks=PLENTY,
    cpu=PLENTY,
    org_tasks=PLENTY,
    org_cpu=PLENTY,
)


def run() -> Iterator[Figure]:
    """Measure."""
    server = RedisServer()
    server.start()
    try:
        connection = RedisConnection(load_settings(redis={"url": server.url}).redis)
        with measured() as pings:
            for _ in range(RUNS):
                connection.client.ping()
        yield Figure("round trips without a decision (baseline)", f"{RUNS / pings.seconds:,.0f}/s")
        for most in (32, 1):
            connection.client.flushdb()
            _fill(connection)
            yield from _grant_all(connection, most)
        ledger = AdmissionLedger(connection)
        with measured() as refused:
            for _ in range(RUNS // 4):
                ledger.lease(32, 60, LIMITS)
        yield Figure("calls that find nothing to grant", f"{RUNS // 4 / refused.seconds:,.0f}/s")
    finally:
        server.stop()


def _grant_all(connection: RedisConnection, most: int) -> Iterator[Figure]:
    """Grant every run, so many a call; Redis says how much of that time was its own."""
    ledger, granted = AdmissionLedger(connection), 0
    ledger.lease(0, 60, LIMITS)
    connection.client.config_resetstat()
    with measured() as watch:
        while granted < RUNS:
            granted += len(ledger.lease(most, 60, LIMITS).grants)
    stats: Any = connection.client.info("commandstats")
    inside = stats["cmdstat_evalsha"]["usec"] / 1_000_000
    name = f"runs granted, {most} a call, {ORGS} orgs, all limits set"
    yield Figure(name, f"{RUNS / watch.seconds:,.0f}/s; the script alone {RUNS / inside:,.0f}/s", "5,000/s")


def _fill(connection: RedisConnection) -> None:
    """Enter a batch of runs for each org."""
    batches, message = BatchLedger(connection), Continuation("queue", "{}")
    for number in range(ORGS):
        batch_id, org = new_id(), f"org-{number}"
        fields = {"request": "{}", "callback_id": "c", "correlation": "c", "org": org}
        batches.publish(batch_id, message, deltas=[{}] * (RUNS // ORGS), fields=fields)
        batches.prepare(batch_id, message, Place(pool="us-east-1/dagy|FARGATE", org=org, cpu=256))
        batches.enter_shards(batch_id, 0, [(shard_id(batch_id, n), {}) for n in range(RUNS // ORGS)])
