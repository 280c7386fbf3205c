"""Which runs and batches ``dagy-queue list`` was asked for; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from dagy_queue.ledger.phases import Phase

if TYPE_CHECKING:
    from dagy_queue.producer.batch_report import BatchStatusReport
    from dagy_queue.producer.results import RunStatusReport

_UNSURE = (Phase.STOPPED, Phase.QUEUED)
"""The result may be there already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """What a run must have to be listed; '' and () ask for nothing."""

    statuses: tuple[str, ...] = ()
    flow: str = ""
    org: str = ""
    batch: str = ""
    correlation_id: str = ""
    since: datetime | None = None
    """Created at or after."""

    def takes_run(self, run: RunStatusReport) -> bool:
        """Tell whether a run is asked for."""
        if self.batch and run["batch_id"] != self.batch:
            return False
        return self._takes(run)

    def takes_batch(self, batch: BatchStatusReport) -> bool:
        """Tell whether a batch is asked for."""
        return self._takes(batch)

    def may_have(self, batch: BatchStatusReport) -> bool:
        """Tell whether a batch may have shards that are asked for: they share all but their status."""
        correlation = self.correlation_id.rpartition(":")[0] or self.correlation_id
        shared = Filters(flow=self.flow, org=self.org)
        related = not correlation or batch["correlation_id"] in (self.correlation_id, correlation)
        return related and shared.takes_batch(batch)

    def may_take(self, phase: Phase) -> bool:
        """Tell whether a run in a phase may have a status that is asked for."""
        return not self.statuses or phase in _UNSURE or phase.status.value in self.statuses

    def _takes(self, found: RunStatusReport | BatchStatusReport) -> bool:
        return (
            (not self.statuses or found["status"] in self.statuses)
            and (not self.flow or found["flow_name"] == self.flow)
            and (not self.org or found["org_id"] == self.org)
            and (not self.correlation_id or is_of(found["correlation_id"], self.correlation_id))
            and (self.since is None or _is_since(found["created_at"], self.since))
        )


def is_of(correlation_id: str, asked: str) -> bool:
    """Tell whether a correlation id is the one asked for, or that of a shard below it."""
    return correlation_id == asked or correlation_id.startswith(f"{asked}:")


def _is_since(created_at: str | None, since: datetime) -> bool:
    return created_at is not None and datetime.fromisoformat(created_at) >= since
