"""What a flow's container is told: the run spec of an attempt, and of the shards that share its container; pure.

The planner makes it of a launch that is otherwise ready.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagy.contract import STOP_TIMEOUT_SECONDS, RunSpec
from dagy_queue.ids import AttemptId
from dagy_queue.launching.run_task import Launch
from dagy_queue.launching.storage import report_uri, traces_uri
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.requests import LaunchRequest
from dagy_queue.settings import RecordsSettings, Settings, StorageSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class CrewShard:
    """A shard of a flow's batch that shares the container of another one."""

    attempt_id: AttemptId
    shard: int
    correlation_id: str
    parameters: Mapping[str, Any]


def run_spec(
    settings: Settings,
    launch: Launch,
    request: LaunchRequest,
    flow: RegisteredFlow,
    crew: Sequence[CrewShard] = (),
    *,
    is_direct: bool = False,
) -> RunSpec:
    """Return the spec of an attempt that runs ``flow``, with the shards of its crew; ``is_direct``: without a queue."""
    storage, attempt_id = settings.storage, launch.attempt_id
    definition, worker = launch.definition, launch.worker
    return RunSpec(
        run_id=attempt_id.run_id,
        attempt=attempt_id.attempt,
        org_id=request.org_id,
        flow_name=flow.name,
        flow_version=flow.version,
        artifact_uri=flow.artifact_uri,
        artifact_sha256=flow.artifact_sha256,
        correlation_id=request.correlation_id,
        parameters=request.parameters,
        environment=request.environment,
        dep_package_uris=list(launch.package_uris),
        dep_package_sha256s=list(launch.package_sha256s) if any(launch.package_sha256s) else [],
        result_uri=launch.report_uri,
        traces_uri=traces_uri(storage, request.org_id, attempt_id.run_id),
        batch_id=launch.batch_id,
        shard=launch.shard,
        secret_names=list(definition.secrets.get(worker, ())),
        stop_timeout=definition.stop_timeouts.get(worker, STOP_TIMEOUT_SECONDS),
        is_direct=is_direct,
        crew=[_crew_spec(storage, request.org_id, member) for member in crew],
        **_updates(settings.records),
    )


def _crew_spec(storage: StorageSettings, org_id: str, member: CrewShard) -> dict[str, Any]:
    """Return what a shard's spec has of its own."""
    attempt_id = member.attempt_id
    return {
        "run_id": attempt_id.run_id,
        "attempt": attempt_id.attempt,
        "shard": member.shard,
        "correlation_id": member.correlation_id,
        "parameters": dict(member.parameters),
        "result_uri": report_uri(storage, org_id, attempt_id),
        "traces_uri": traces_uri(storage, org_id, attempt_id.run_id),
    }


def _updates(records: RecordsSettings) -> dict[str, Any]:
    """Return the fields that have the worker write to the record; none where it is not to."""
    if not (records.enabled and records.worker_updates):
        return {}
    return {
        "runs_table": records.runs_table,
        "task_runs_table": records.task_runs_table,
        "heartbeat_seconds": records.heartbeat_seconds,
    }
