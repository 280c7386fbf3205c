"""From a run as the ledger has it to its record in DynamoDB; pure. The recorder calls :func:`record_of`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dagy_queue.ledger import RunEntry, RunStatus
from dagy_queue.ledger.history import Snapshot
from dagy_queue.records.runs import RunRecord

MOST_METADATA = 200_000
"""Characters of JSON that a record keeps of a run's metadata: an item of DynamoDB holds 400 KB in all."""
_MOST_TEXT = 10_000


def record_of(snapshot: Snapshot) -> RunRecord:
    """Return the record of a run as it is now."""
    entry, request = snapshot.entry, snapshot.request
    outcome = _outcome(entry)
    return RunRecord(
        run_id=entry.run_id,
        status=entry.status.value,
        phase=entry.phase.value,
        created_at=entry.created_at,
        org_id=entry.org_id,
        flow_name=entry.flow_name,
        flow_version=_flow_version(request),
        attempt=entry.attempt,
        retries=entry.retries,
        task_arn=entry.task_arn,
        correlation_id=entry.correlation_id,
        batch_id=entry.batch_id,
        shard=entry.shard,
        environment=str(request.get("environment", "")),
        trigger_source=str(request.get("trigger_source", ""))[:_MOST_TEXT],
        triggered_by=str(request.get("triggered_by", ""))[:_MOST_TEXT],
        metadata=_metadata(request),
        started_at=entry.started_at,
        completed_at=entry.ended_at,
        error_message=_error(entry, outcome),
        outcome=outcome,
    )


def _outcome(entry: RunEntry) -> dict[str, Any] | None:
    """Return how the last attempt ended, each text cut to what a record has room for."""
    found = (entry.completion or {}).get("outcome")
    if not isinstance(found, Mapping):
        return None
    return {name: value[-_MOST_TEXT:] if isinstance(value, str) else value for name, value in found.items()}


def _error(entry: RunEntry, outcome: Mapping[str, Any] | None) -> str | None:
    if entry.status not in (RunStatus.FAILED, RunStatus.CANCELLED):
        return None
    return str((outcome or {}).get("summary") or entry.cancel_reason or entry.status.value.lower())


def _flow_version(request: Mapping[str, Any]) -> str:
    """Return the version that was asked for; requests leave out what is not said."""
    is_flow = request.get("kind", "flow") == "flow" and "flow_name" in request
    return str(request.get("flow_version", "latest")) if is_flow else ""


def _metadata(request: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = request.get("metadata") or {}
    size = len(json.dumps(metadata))
    return metadata if size <= MOST_METADATA else {"dagy": f"left out of the record: {size} characters of JSON"}
