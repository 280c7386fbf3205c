"""Records of runs that were launched directly: how one begins, and what ECS or the worker's report add to it; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dagy.contract import ReportStatus, RunReport
from dagy_queue.ids import AttemptId
from dagy_queue.outcomes import Kind
from dagy_queue.outcomes.tasks import outcome_of_task
from dagy_queue.records.runs import RunRecord
from dagy_queue.requests import ContainerRequest, LaunchRequest

_STOPPED = "STOPPED"
_STATUS_OF_KIND = {Kind.SUCCEEDED: "SUCCEEDED", Kind.CANCELLED: "CANCELLED"}


def record_of(
    attempt_id: AttemptId, task_arn: str, request: LaunchRequest | ContainerRequest, asked_at: datetime
) -> RunRecord:
    """Return the record of a task that ECS has just taken; the run began when it was ``asked_at``."""
    return RunRecord(
        run_id=attempt_id.run_id,
        status="QUEUED",
        phase="SUBMITTED",
        created_at=asked_at,
        org_id=request.org_id,
        flow_name=request.flow_name if isinstance(request, LaunchRequest) else request.label,
        flow_version=request.flow_version if isinstance(request, LaunchRequest) else "",
        attempt=attempt_id.attempt,
        task_arn=task_arn,
        correlation_id=request.correlation_id,
        environment=request.environment,
        trigger_source=request.trigger_source,
        triggered_by=request.triggered_by,
        metadata=request.metadata,
    )


def updated_from_task(record: RunRecord, task: Mapping[str, Any], container_name: str) -> RunRecord:
    """Return a record with what ECS says of its task."""
    status = str(task["lastStatus"])
    started = task.get("startedAt") or record.started_at
    if status != _STOPPED:
        has_begun = status == "RUNNING" or started is not None  # a task that is being stopped has begun, too
        return replace(record, started_at=started, status="RUNNING", phase="RUNNING") if has_begun else record
    outcome = outcome_of_task(task, container_name)
    final = _STATUS_OF_KIND.get(outcome.kind, "FAILED")
    return replace(
        record,
        status=final,
        phase=final,
        started_at=started,
        completed_at=task.get("stoppedAt") or datetime.now(UTC),
        error_message=None if outcome.succeeded else outcome.summary,
        outcome=outcome.to_dict(),
    )


def updated_from_report(record: RunRecord, report: RunReport) -> RunRecord:
    """Return a record with what the worker reported."""
    status = "SUCCEEDED" if report.status is ReportStatus.SUCCEEDED else "FAILED"
    return replace(
        record,
        status=status,
        phase=status,
        started_at=_time(report.started_at) or record.started_at,
        completed_at=_time(report.finished_at) or datetime.now(UTC),
        error_message=report.error.message if report.error else None,
    )


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
