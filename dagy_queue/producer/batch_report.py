"""The status of a batch as plain data, and which of its shards failed and why: the fellow of ``producer/status.py``.

``dagy-queue status``, ``list`` and ``watch`` answer with it. The status costs the same for 10 shards and for 100,000.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from dagy_queue.ids import shard_id
from dagy_queue.ledger import Phase
from dagy_queue.ledger.briefs import BatchBrief
from dagy_queue.ledger.overview import Overview
from dagy_queue.producer.status import as_text

LOOKED_AT = 1000
"""Ended shards that are looked at together."""


class BatchStatusReport(TypedDict):
    """The status of a batch, ready for JSON. Times are ISO 8601 in UTC."""

    batch_id: str
    org_id: str
    flow_name: str
    correlation_id: str
    status: str
    """QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED: once it is over, what its callback or caller hears."""
    total: int | None
    """Shards; None until a manifest is counted."""
    done: int
    """Shards that ended, well or not."""
    counts: Mapping[str, int]
    """Shards by phase."""
    tolerated: int
    """Shards that may fail."""
    cancel_reason: str
    error_message: str | None
    """Why its manifest cannot be run."""
    created_at: str | None


class FailedShard(TypedDict):
    """A shard that failed."""

    shard: int
    run_id: str
    outcome: Mapping[str, Any]
    """How its last attempt ended, as :meth:`Outcome.to_dict` has it."""


def report_of_batch(brief: BatchBrief) -> BatchStatusReport:
    """Return what a brief says."""
    return BatchStatusReport(
        batch_id=brief.batch_id,
        org_id=brief.org_id,
        flow_name=brief.flow_name,
        correlation_id=brief.correlation_id,
        status=brief.status.value,
        total=brief.total,
        done=brief.done,
        counts={phase.value: count for phase, count in brief.counts.items()},
        tolerated=brief.tolerated,
        cancel_reason=brief.cancel_reason,
        error_message=brief.refused or None,
        created_at=as_text(brief.created_at),
    )


def failed_shards(overview: Overview, report: BatchStatusReport, most: int) -> list[FailedShard]:
    """Return up to ``most`` of the shards that failed, the first of them, in the order they did.

    Those that have ended are looked at until so many are found, or all that a report counts.
    """
    batch_id, wanted = report["batch_id"], min(most, report["counts"].get(Phase.FAILED, 0))
    shards: list[int] = []
    looked_at, first = LOOKED_AT, 0
    while len(shards) < wanted and looked_at == LOOKED_AT:
        more, looked_at = overview.failed_shards(batch_id, first, LOOKED_AT)
        shards += more
        first += looked_at
    return _with_outcomes(overview, batch_id, shards[:most])


def _with_outcomes(overview: Overview, batch_id: str, shards: Sequence[int]) -> list[FailedShard]:
    found = overview.phases([shard_id(batch_id, shard) for shard in shards], with_outcomes=True)
    return [
        FailedShard(shard=shard, run_id=run.run_id, outcome=run.outcome)
        for shard, run in zip(shards, found, strict=True)
    ]
