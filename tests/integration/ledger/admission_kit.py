"""A ledger with runs in it, for the tests of admission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dagy_queue.ids import AttemptId, new_id, shard_id
from dagy_queue.ledger import AdmissionLedger, BatchLedger, Continuation, RedisConnection, RunLedger
from dagy_queue.ledger.admission import Limits
from dagy_queue.ledger.runs import Place

POOL = "us-east-1/dagy|FARGATE"


ARN = "arn:aws:ecs:us-east-1:1:task/dagy/abc"
DONE = {"outcome": {"kind": "succeeded", "summary": "ok"}}
SLOW = 0.001
"""A rate at which nothing comes back while a test runs."""


class Scene:
    """A ledger with runs in it."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection
        self.runs = RunLedger(connection)
        self.admission = AdmissionLedger(connection)
        self.batches = BatchLedger(connection)

    def park(self, *run_ids: str, pool: str = POOL, org: str = "acme", cpu: int = 256, priority: int = 0) -> None:
        for run_id in run_ids:
            self.runs.park(
                run_id,
                request={},
                continuation=Continuation("queue", "{}"),
                place=Place(pool=pool, org=org, cpu=cpu, priority=priority),
                expires=None,
                about={},
            )

    def batch(
        self,
        shards: int,
        window: int | None = None,
        *,
        per_run: int = 1,
        timeout: float | None = None,
        own: Sequence[Mapping[str, Any]] = (),
    ) -> list[str]:
        """Enter a batch and return the ids of its shards; ``own`` is what they differ in."""
        batch_id = new_id()
        fields = {"request": "{}", "callback": "{}", "callback_id": "c", "correlation": "c", "org": "acme"}
        fields["canceller"] = "{}"
        message = Continuation("queue", "{}")
        self.batches.publish(batch_id, message, deltas=[{}] * shards, fields=fields)
        place = Place(pool=POOL, org="acme", cpu=256, timeout=timeout)
        self.batches.prepare(batch_id, message, place, window=window, per_run=per_run)
        ids = [shard_id(batch_id, n) for n in range(shards)]
        self.batches.enter_shards(batch_id, 0, list(zip(ids, own or [{}] * shards, strict=True)))
        return ids

    def granted(self, most: int = 1000, **limits: object) -> list[str]:
        return [g.attempt_id.run_id for g in self.admission.lease(most, 60, Limits(**limits)).grants]  # type: ignore[arg-type]

    def end(self, *run_ids: str) -> None:
        for run_id in run_ids:
            self.runs.complete(AttemptId(run_id, 1), DONE)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{n}" for n in range(count)]
