"""The ledger's face for people who look: what was published lately, phases of many runs, the pace of launches.

``dagy-queue list``, ``status`` and ``watch`` read it. Everything here is a few bounded reads, so that looking never
loads Redis: lists come from an index of publications (``lua/common/publications.lua``), not from a search for keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dagy_queue.ids import shard_id
from dagy_queue.ledger.batches import BatchLedger
from dagy_queue.ledger.briefs import BRIEF_FIELDS, BatchBrief, read_brief
from dagy_queue.ledger.connection import RedisConnection
from dagy_queue.ledger.phases import Phase

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Published:
    """Something that was published: a run by itself, or a batch."""

    is_batch: bool
    id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RunPhase:
    """Where a run is. ``phase`` is None for one that the ledger does not have."""

    run_id: str
    phase: Phase | None
    attempt: int
    outcome: Mapping[str, Any]
    """How its last attempt ended; {} before it has, and where it was not asked for."""


class Overview:
    """What people look at."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection
        self._batches = BatchLedger(connection)
        self._index = connection.key("publications")

    def kind_of(self, identifier: str) -> str:
        """Return ``run`` or ``batch``; '' if the ledger knows no such id."""
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=False)
            pipeline.exists(self.connection.key("run", identifier))
            pipeline.hexists(self.connection.key("batch", identifier), "request")
            is_run, is_batch = pipeline.execute()
        return "run" if is_run else "batch" if is_batch else ""

    def published(self, since: datetime | None = None) -> Iterator[list[Published]]:
        """Yield what was published, newest first, a page at a time."""
        first = 0
        lowest = "-inf" if since is None else int(since.timestamp() * 1000)
        while True:
            with self.connection.errors():
                found: Any = self.connection.client.zrevrangebyscore(
                    self._index, "+inf", lowest, start=first, num=_PAGE, withscores=True
                )
            if not found:
                return
            yield [_published(member, score) for member, score in found]
            first += len(found)

    def published_batch(self, batch_id: str) -> datetime | None:
        """Return when a batch was published; None if the index or the ledger does not have it any more."""
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=False)
            pipeline.zscore(self._index, f"batch:{batch_id}")
            pipeline.hexists(self.connection.key("batch", batch_id), "request")
            score, is_there = pipeline.execute()
        return datetime.fromtimestamp(score / 1000, UTC) if is_there and score is not None else None

    def forget(self, gone: Sequence[Published]) -> None:
        """Take out of the index what the ledger no longer has."""
        if gone:
            with self.connection.errors():
                self.connection.client.zrem(self._index, *(_member(each) for each in gone))

    def phases(self, run_ids: Sequence[str], *, with_outcomes: bool = False) -> list[RunPhase]:
        """Return where some runs are, in the order asked."""
        names = ("phase", "attempt", *(("completion",) if with_outcomes else ()))
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=False)
            for run_id in run_ids:
                pipeline.hmget(self.connection.key("run", run_id), names)
            rows = pipeline.execute() if run_ids else []
        return [_run_phase(run_id, row) for run_id, row in zip(run_ids, rows, strict=True)]

    def orgs(self, run_ids: Sequence[str]) -> list[str]:
        """Return whose some runs by themselves are, in the order asked; '' for those that the ledger does not have."""
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=False)
            for run_id in run_ids:
                pipeline.hget(self.connection.key("run", run_id), "org")
            return [str(org or "") for org in pipeline.execute()] if run_ids else []

    def batches(self, batch_ids: Sequence[str]) -> list[BatchBrief]:
        """Return some batches as they are now; those that the ledger has forgotten are left out."""
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=False)
            for batch_id in batch_ids:
                pipeline.hmget(self.connection.key("batch", batch_id), BRIEF_FIELDS)
                pipeline.hgetall(self.connection.key("batch", batch_id, "counts"))
            rows = iter(pipeline.execute() if batch_ids else [])
        found = []
        for batch_id, values, counts in zip(batch_ids, rows, rows, strict=True):
            fields = {name: value for name, value in zip(BRIEF_FIELDS, values, strict=True) if value is not None}
            if "request" in fields:
                found.append(read_brief(batch_id, fields, counts))
        return found

    def failed_shards(self, batch_id: str, first: int, most: int) -> tuple[list[int], int]:
        """Return which of the shards that have ended did so badly, in the order they did, and how many were looked at.

        From the ``first`` of those that have ended on; at most ``most`` of them are looked at.
        """
        shards = self._batches.ended_shards(batch_id, first, most)
        found = self.phases([shard_id(batch_id, shard) for shard in shards])
        return [shard for shard, run in zip(shards, found, strict=True) if run.phase is Phase.FAILED], len(shards)

    def ended_as(self, batch_id: str, phase: Phase) -> Iterator[int]:
        """Yield the shards of a batch that ended so, in the order they did, read a page at a time."""
        first = 0
        while ended := self._batches.ended_shards(batch_id, first, _PAGE):
            found = self.phases([shard_id(batch_id, shard) for shard in ended])
            yield from (shard for shard, run in zip(ended, found, strict=True) if run.phase is phase)
            first += len(ended)

    def first_known(self, batch_id: str, total: int) -> int | None:
        """Return the first of a batch's shards that is in the ledger; None if that is none of the first few hundred."""
        shards = range(min(total, _PAGE))
        found = self.phases([shard_id(batch_id, shard) for shard in shards])
        return next((shard for shard, run in zip(shards, found, strict=True) if run.phase), None)

    def last_ended(self, batch_id: str) -> RunPhase | None:
        """Return the shard that was the last to end so far; None if none has."""
        ended = self._batches.ended_shards(batch_id, -1, 1)
        return self.phases([shard_id(batch_id, ended[0])])[0] if ended else None

    def count_forgotten(self, batch_id: str) -> int:
        """Return how many shards of a batch were in the ledger, and are not any more; 0 for a batch that is not."""
        entered = self._batches.get(batch_id).expanded if self.kind_of(batch_id) else 0
        pages = (range(first, min(first + _PAGE, entered)) for first in range(0, entered, _PAGE))
        found = (run for page in pages for run in self.phases([shard_id(batch_id, shard) for shard in page]))
        return sum(run.phase is None for run in found)

    def rate_factor(self, region: str) -> float:
        """Return what throttles have left of the configured rate of launches: 1 is all of it."""
        with self.connection.errors():
            factor: Any = self.connection.client.hget(self.connection.key("throttle", region), "factor")
        return float(factor or 1)


def _member(each: Published) -> str:
    return f"{'batch' if each.is_batch else 'run'}:{each.id}"


def _published(member: str, score: float) -> Published:
    kind, _, identifier = member.partition(":")
    return Published(kind == "batch", identifier, datetime.fromtimestamp(score / 1000, UTC))


def _run_phase(run_id: str, row: Sequence[str | None]) -> RunPhase:
    phase, attempt, *rest = row
    completion = json.loads(rest[0]) if rest and rest[0] else {}
    return RunPhase(run_id, Phase(phase) if phase else None, int(attempt or 0), completion.get("outcome") or {})
