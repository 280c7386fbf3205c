"""A batch in brief: what people want to know of one among many, read from its hash and its counts; pure.

``ledger/overview.py`` reads them for lists and status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from dagy_queue.ledger.phases import Phase, RunStatus

BRIEF_FIELDS = ("request", "org", "flow", "correlation", "created", "total", "tolerated", "cancel", "refused", "ended")
"""The fields of a batch's hash that :func:`read_brief` looks at."""

_NOT_BEGUN = frozenset({Phase.QUEUED, Phase.HELD, Phase.SUBMITTING})


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchBrief:
    """A batch and how far it is."""

    batch_id: str
    org_id: str
    flow_name: str
    correlation_id: str
    created_at: datetime
    total: int | None
    """Shards; None until a manifest is counted."""
    counts: Mapping[Phase, int]
    tolerated: int
    """Shards that may fail."""
    cancel_reason: str
    refused: str
    """Why its manifest cannot be run; '' if it can."""
    is_ended: bool
    """Whether its callback was sent, or failed."""

    @property
    def done(self) -> int:
        """Shards that ended, well or not."""
        return sum(count for phase, count in self.counts.items() if phase.status.is_final)

    @property
    def is_over(self) -> bool:
        """Whether all shards have ended, or there will be none."""
        return bool(self.refused) or (self.total is not None and self.done >= self.total)

    @property
    def status(self) -> RunStatus:
        """The public status: of a batch that is over, what its callback or caller hears."""
        if self.refused:
            return RunStatus.FAILED
        if not self.is_over:
            begun = any(count for phase, count in self.counts.items() if phase not in _NOT_BEGUN)
            return RunStatus.RUNNING if begun else RunStatus.QUEUED
        failed, cancelled = self.counts.get(Phase.FAILED, 0), self.counts.get(Phase.CANCELLED, 0)
        if failed <= self.tolerated and self.cancel_reason and cancelled:
            return RunStatus.CANCELLED
        return RunStatus.FAILED if failed + cancelled > self.tolerated else RunStatus.SUCCEEDED


def read_brief(batch_id: str, fields: Mapping[str, str], counts: Mapping[str, str]) -> BatchBrief:
    """Read a batch from its hash and its counts; shards that are not entered yet count as QUEUED."""
    by_phase = {Phase(name): int(count) for name, count in counts.items() if int(count)}
    if (waiting := int(fields.get("total", 0)) - sum(by_phase.values())) > 0:
        by_phase[Phase.QUEUED] = by_phase.get(Phase.QUEUED, 0) + waiting
    return BatchBrief(
        batch_id=batch_id,
        org_id=fields.get("org", ""),
        flow_name=fields.get("flow", ""),
        correlation_id=fields.get("correlation", ""),
        created_at=datetime.fromtimestamp(int(fields["created"]) / 1000, UTC),
        total=int(fields["total"]) if "total" in fields else None,
        counts=by_phase,
        tolerated=int(fields.get("tolerated") or 0),
        cancel_reason=fields.get("cancel", ""),
        refused=fields.get("refused", ""),
        is_ended="ended" in fields,
    )
