"""From a run as the ledger has it to its record in DynamoDB; pure. The recorder calls :func:`record_of`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dagy_queue.errors import RequestInvalid
from dagy_queue.launching.logs import log_of
from dagy_queue.ledger import RunEntry
from dagy_queue.ledger.history import Snapshot
from dagy_queue.records.runs import RunRecord
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request
from dagy_queue.settings import EcsSettings

MOST_METADATA = 200_000
"""Characters of JSON that a record keeps of a run's metadata: an item of DynamoDB holds 400 KB in all."""
_MOST_TEXT = 10_000


def record_of(snapshot: Snapshot, ecs: EcsSettings | None = None) -> RunRecord:
    """Return the record of a run as it is now; of one that is over also its log and what its budgets allow."""
    entry, request = snapshot.entry, snapshot.request
    outcome = _outcome(entry)
    asked = _asked(request) if entry.status.is_final else None
    return RunRecord(
        run_id=entry.run_id,
        status=entry.status.value,
        phase=entry.phase.value,
        created_at=entry.created_at,
        org_id=entry.org_id,
        flow_name=entry.flow_name,
        flow_version=entry.flow_version or _flow_version(request),
        artifact_sha256=entry.artifact_sha256,
        attempt=entry.attempt,
        retries=entry.retries,
        retries_of=entry.counts,
        limits=_limits(entry, asked),
        log=log_of(asked, ecs, entry.task_arn) if asked and ecs else "",
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


def _asked(request: Mapping[str, Any]) -> LaunchRequest | ContainerRequest | None:
    """Return what was asked for; None if the run was never parked, or another version of dagy_queue asked for it."""
    try:
        return read_request(request) if request else None
    except RequestInvalid:
        return None


def _limits(entry: RunEntry, asked: LaunchRequest | ContainerRequest | None) -> dict[str, int]:
    """Return what the budgets that were used allow; what only a deployment says is not known here."""
    if asked is None:
        return {}
    known = entry.counts.keys() & (asked.model_fields_set if asked.deployment_name else type(asked).model_fields)
    return {name: getattr(asked, name) for name in sorted(known)}


def _outcome(entry: RunEntry) -> dict[str, Any] | None:
    """Return how the last attempt ended, each text cut to what a record has room for."""
    found = (entry.completion or {}).get("outcome")
    if not isinstance(found, Mapping):
        return None
    told = {name: value[-_MOST_TEXT:] if isinstance(value, str) else value for name, value in found.items()}
    return {**told, "task_arns": entry.task_arns} if entry.earlier_tasks else told


def _error(entry: RunEntry, outcome: Mapping[str, Any] | None) -> str | None:
    if not entry.status.ended_badly:
        return None
    return str((outcome or {}).get("summary") or entry.cancel_reason or entry.status.value.lower())


def _flow_version(request: Mapping[str, Any]) -> str:
    """Return the version that was asked for, which counts until the run is launched; a request may leave it out."""
    is_flow = request.get("kind", "flow") == "flow" and "flow_name" in request
    return str(request.get("flow_version", "latest")) if is_flow else ""


def _metadata(request: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = request.get("metadata") or {}
    size = len(json.dumps(metadata))
    return metadata if size <= MOST_METADATA else {"dagy": f"left out of the record: {size} characters of JSON"}
