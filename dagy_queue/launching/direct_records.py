"""Records of runs that were launched directly: how one begins, and what ECS or the worker's report add to it; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dagy.contract import ReportStatus, RunReport
from dagy_queue.ids import AttemptId
from dagy_queue.launching.logs import log_of
from dagy_queue.outcomes import Kind, Outcome, explain_worker_exit
from dagy_queue.outcomes.tasks import outcome_of_task
from dagy_queue.outcomes.worker_reports import in_words_of, with_error, without_success
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.records.runs import RunRecord
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import EcsSettings

_STOPPED = "STOPPED"
_MOST_TEXT = 10_000
"""Characters of what an error says that a record keeps: an item of DynamoDB holds 400 KB in all."""
_NOBODY = "it was launched directly, so nobody tries it again"
_AGAIN = "nothing is wrong with the run: launch it again"
_INSTEAD = {Kind.SPOT: _AGAIN, Kind.OUT_OF_MEMORY: "launch it again with more memory"}
_ON_DEMAND = f"{_AGAIN}, on FARGATE instead of FARGATE_SPOT if it must not be interrupted"
_STATUS_OF_KIND = {Kind.SUCCEEDED: "SUCCEEDED", Kind.CANCELLED: "CANCELLED"}


def record_of(
    attempt_id: AttemptId,
    task_arn: str,
    request: LaunchRequest | ContainerRequest,
    asked_at: datetime,
    ecs: EcsSettings,
    flow: RegisteredFlow | None = None,
) -> RunRecord:
    """Return the record of a task that ECS has just taken; the run began when it was ``asked_at``, with ``flow``."""
    return RunRecord(
        run_id=attempt_id.run_id,
        status="QUEUED",
        phase="SUBMITTED",
        created_at=asked_at,
        org_id=request.org_id,
        flow_name=request.flow_name if isinstance(request, LaunchRequest) else request.label,
        flow_version=flow.version if flow else "",
        artifact_sha256=flow.artifact_sha256 if flow else "",
        attempt=attempt_id.attempt,
        task_arn=task_arn,
        log=log_of(request, ecs, task_arn),
        correlation_id=request.correlation_id,
        environment=request.environment,
        trigger_source=request.trigger_source,
        triggered_by=request.triggered_by,
        metadata=request.metadata,
    )


def updated_from_task(record: RunRecord, task: Mapping[str, Any], container_name: str) -> RunRecord:
    """Return a record with what ECS says of its task. The worker may have written the end before ECS sees it."""
    status = str(task["lastStatus"])
    started = task.get("startedAt") or record.started_at
    if status != _STOPPED:
        if record.completed_at is not None:
            return record
        has_begun = status == "RUNNING" or started is not None  # a task that is being stopped has begun, too
        return replace(record, started_at=started, status="RUNNING", phase="RUNNING") if has_begun else record
    outcome = _without_another(outcome_of_task(task, container_name))
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


def _without_another(outcome: Outcome) -> Outcome:
    """Say that nobody tries the run again: the words of an outcome may promise it, and name budgets."""
    if outcome.succeeded or outcome.kind is Kind.CANCELLED:
        return outcome
    resolution = _INSTEAD.get(outcome.kind, outcome.resolution)
    if outcome.stop_code == "SpotInterruption":
        resolution = _ON_DEMAND
    return replace(outcome, no_retry=_NOBODY, resolution=resolution)


def updated_from_report(record: RunRecord, report: RunReport) -> RunRecord:
    """Return a record with what the worker reported, where ECS knows the task no more."""
    succeeded = report.status is ReportStatus.SUCCEEDED
    status = "SUCCEEDED" if succeeded else "FAILED"
    outcome = Outcome(kind=Kind.SUCCEEDED if succeeded else Kind.FAILED, task_arn=record.task_arn)
    ended = replace(
        record,
        status=status,
        phase=status,
        started_at=_time(report.started_at) or record.started_at,
        completed_at=_time(report.finished_at) or datetime.now(UTC),
        error_message=None,
        outcome=outcome.to_dict(),
    )
    return with_words_of(report, ended)


def with_words_of(report: RunReport | None, record: RunRecord) -> RunRecord:
    """Return the record of a failed flow with the error that the worker reported, and what its exit code means."""
    if report is None or report.error is None or record.outcome is None:
        return record
    known = with_error(explain_worker_exit(Outcome.from_dict(record.outcome)), report.error)
    outcome = in_words_of(report, known)
    outcome = replace(outcome, summary=outcome.summary[:_MOST_TEXT])
    return replace(record, error_message=outcome.summary, outcome=outcome.to_dict())


def without_report(record: RunRecord) -> RunRecord:
    """Return the record of a flow whose container exited with 0, and that left no report: nobody knows its result."""
    outcome = without_success(Outcome.from_dict(record.outcome or {"kind": Kind.SUCCEEDED}), None)
    return replace(record, status="FAILED", phase="FAILED", error_message=outcome.summary, outcome=outcome.to_dict())


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
