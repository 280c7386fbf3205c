"""What the ledger knows of a run, as a value, and reading it from the fields of the run's hash.

``ledger/runs.py`` reads one for callers who ask for it, ``ledger/history.py`` many for the record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dagy_queue.ledger.attempts import COUNTED, counts_of, earlier_tasks_of
from dagy_queue.ledger.phases import Phase, RunStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEntry:
    """What the ledger knows of a run."""

    run_id: str
    phase: Phase
    attempt: int
    retries: int
    org_id: str
    flow_name: str
    correlation_id: str
    batch_id: str
    shard: int | None
    task_arn: str
    created_at: datetime
    changed_at: datetime
    started_at: datetime | None
    """When a container of the run, of whichever attempt, was first seen running."""
    ended_at: datetime | None
    """When the run got its result."""
    completion: Mapping[str, Any] | None
    cancel_reason: str
    refusal: str
    counts: Mapping[str, int] = field(default_factory=dict)
    """The retries that each budget has paid for, by the field of the request that sets it."""
    change: Mapping[str, Any] = field(default_factory=dict)
    """What its attempt has otherwise than the request says."""
    ended_before: Mapping[str, Any] | None = None
    """The outcome of the attempt before, while another one goes on."""
    flow_version: str = ""
    """The version of the flow that runs, from its first launch on; what 'latest' meant then."""
    artifact_sha256: str = ""
    """The checksum of that version's artifact, where the registry has it."""
    earlier_tasks: Mapping[str, str] = field(default_factory=dict)
    """The ECS tasks of the attempts before, by the attempt's number."""

    @property
    def task_arns(self) -> dict[str, str]:
        """The ECS task of every attempt that has or had one, by the attempt's number."""
        return {**self.earlier_tasks, **({str(self.attempt): self.task_arn} if self.task_arn else {})}

    @property
    def status(self) -> RunStatus:
        """The public status. An attempt that ended before its container ran leaves the run as queued as it was."""
        if self.phase is Phase.STOPPED and self.started_at is None:
            return RunStatus.QUEUED
        return self.phase.status


ENTRY_FIELDS = (
    *("phase", "attempt", "retries", "org", "flow", "correlation", "batch", "shard", "arn"),
    *("created", "at", "started", "ended", "completion", "cancel", "refusal"),
    *("change", "ended_before", "arns", "flow_version", "artifact", *COUNTED),
)
"""The fields of a run's hash that :func:`read_entry` looks at."""

SHARED_FIELDS = ("org", "flow", "correlation", "flow_version", "artifact")
"""The fields of a batch's hash that stand for its shards as well."""


def read_entry(run_id: str, fields: Mapping[str, str], shared: Mapping[str, str]) -> RunEntry:
    """Read a run from the fields of its hash and, for a shard, those that it shares with its batch."""
    shard = fields.get("shard")
    correlation = fields.get("correlation", "")
    if not correlation and shared.get("correlation"):
        correlation = f"{shared['correlation']}:{shard}"
    completion = fields.get("completion")
    return RunEntry(
        run_id=run_id,
        phase=Phase(fields["phase"]),
        attempt=int(fields.get("attempt", 0)),
        retries=int(fields.get("retries", 0)),
        org_id=fields.get("org") or shared.get("org", ""),
        flow_name=fields.get("flow") or shared.get("flow", ""),
        correlation_id=correlation,
        batch_id=fields.get("batch", ""),
        shard=int(shard) if shard is not None else None,
        task_arn=fields.get("arn", ""),
        created_at=_time(fields["created"]),
        changed_at=_time(fields["at"]),
        started_at=_time(fields["started"]) if "started" in fields else None,
        ended_at=_time(fields["ended"]) if "ended" in fields else None,
        completion=json.loads(completion) if completion else None,
        cancel_reason=fields.get("cancel", ""),
        refusal=fields.get("refusal", ""),
        counts=counts_of(fields),
        change=json.loads(fields.get("change") or "{}"),
        ended_before=json.loads(fields["ended_before"]) if fields.get("ended_before") else None,
        flow_version=fields.get("flow_version") or shared.get("flow_version", ""),
        artifact_sha256=fields.get("artifact") or shared.get("artifact", ""),
        earlier_tasks=earlier_tasks_of(fields),
    )


def milliseconds(iso_time: Any) -> int | None:
    """Return a time of ECS as the ledger keeps it; None for what is no time."""
    try:
        return int(datetime.fromisoformat(iso_time).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        return None


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(int(text) / 1000, UTC)
