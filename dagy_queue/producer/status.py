"""The status of a run as plain data, from its ledger entry or its record. ``DagLauncher.get_run_status`` answers it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery.result import AsyncResult

from dagy_queue.errors import RunNotFound
from dagy_queue.ledger import RunEntry, RunStatus
from dagy_queue.producer.ends import as_it_ends
from dagy_queue.producer.kept import find_record
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.results import RunStatusReport

if TYPE_CHECKING:
    from dagy_queue.records.runs import RunRecord


def find_status(publisher: Publisher, run_id: str) -> RunStatusReport | None:
    """Return a run's status from the ledger, else from its record; None if neither knows it.

    A program without AWS credentials has no records to read: there the ledger alone counts.
    """
    try:
        entry = publisher.runs.get(run_id)
        return report_of_entry(entry, publisher.app.AsyncResult(run_id))
    except RunNotFound:
        return report_of_record(find_record(run_id))


def report_of_entry(entry: RunEntry, result: AsyncResult) -> RunStatusReport:
    """Return what the ledger knows of a run, and of its end what Celery knows a moment earlier."""
    entry = as_it_ends(entry, result)
    outcome = (entry.completion or {}).get("outcome") or entry.ended_before
    error, told = _error(entry.status, outcome), _with_tasks(outcome, entry)
    return _report(entry, entry.status.value, entry.phase.value, entry.ended_at, error, told)


def report_of_record(record: RunRecord | None) -> RunStatusReport | None:
    """Return what a record says of a run."""
    if record is None:
        return None
    return _report(record, record.status, record.phase, record.completed_at, record.error_message, record.outcome)


def _report(
    run: RunEntry | RunRecord,
    status: str,
    phase: str,
    completed_at: datetime | None,
    error_message: str | None,
    outcome: Mapping[str, Any] | None,
) -> RunStatusReport:
    return RunStatusReport(
        run_id=run.run_id,
        org_id=run.org_id,
        flow_name=run.flow_name,
        flow_version=run.flow_version,
        status=status,
        phase=phase,
        attempt=run.attempt,
        correlation_id=run.correlation_id,
        batch_id=run.batch_id,
        shard=run.shard,
        task_arn=run.task_arn,
        created_at=as_text(run.created_at),
        started_at=as_text(run.started_at),
        completed_at=as_text(completed_at),
        error_message=error_message,
        outcome=outcome,
    )


def _error(status: RunStatus, outcome: Mapping[str, Any] | None) -> str | None:
    if status.ended_badly:
        return str((outcome or {}).get("summary") or "") or None
    return None


def _with_tasks(outcome: Mapping[str, Any] | None, entry: RunEntry) -> Mapping[str, Any] | None:
    """Return an outcome that names the tasks of all attempts, also where the run did not fail."""
    return {**outcome, "task_arns": entry.task_arns} if outcome and entry.task_arns else outcome


def as_text(moment: datetime | None) -> str | None:
    """Return a time in ISO 8601."""
    return moment.isoformat() if moment else None
