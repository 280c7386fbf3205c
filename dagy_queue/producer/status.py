"""The status of a run as plain data, from its ledger entry or its record. ``DagLauncher.get_run_status`` answers it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from celery.result import AsyncResult

from dagy_queue.errors import AwsRefused, RunNotFound
from dagy_queue.ledger import RunEntry, RunStatus
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.results import RunStatusReport
from dagy_queue.producer.run import status_of

if TYPE_CHECKING:
    from dagy_queue.records.runs import RunRecord

_NO_CREDENTIALS = "NoCredentials"


def find_status(publisher: Publisher, run_id: str) -> RunStatusReport | None:
    """Return a run's status from the ledger, else from its record; None if neither knows it.

    A program without AWS credentials has no records to read: there the ledger alone counts.
    """
    try:
        entry = publisher.runs.get(run_id)
        return _report_of_entry(entry, publisher.app.AsyncResult(run_id))
    except RunNotFound:
        return report_of_record(find_record(run_id))


def find_record(run_id: str) -> RunRecord | None:
    """Return the record of a run; None if there is none, or no way to read it."""
    from dagy_queue.records.runs import find_run

    try:
        return find_run(run_id)
    except AwsRefused as exc:
        if exc.code == _NO_CREDENTIALS:
            return None
        raise


def _report_of_entry(entry: RunEntry, result: AsyncResult) -> RunStatusReport:
    """Return what the ledger knows of a run, and of its end what Celery knows a moment earlier."""
    status = status_of(entry, result)
    report = _report(entry, status.value, entry.phase.value, entry.ended_at, _error(status, entry.completion))
    if status.is_final and entry.ended_at is None:
        report["completed_at"] = as_text(_in_utc(result.date_done)) or as_text(datetime.now(UTC))
        report["error_message"] = None if status is RunStatus.SUCCEEDED else str(result.result)
    return report


def report_of_record(record: RunRecord | None) -> RunStatusReport | None:
    """Return what a record says of a run."""
    if record is None:
        return None
    return _report(record, record.status, record.phase, record.completed_at, record.error_message)


def _report(
    run: RunEntry | RunRecord, status: str, phase: str, completed_at: datetime | None, error_message: str | None
) -> RunStatusReport:
    return RunStatusReport(
        run_id=run.run_id,
        org_id=run.org_id,
        flow_name=run.flow_name,
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
    )


def _error(status: RunStatus, completion: Mapping[str, Any] | None) -> str | None:
    if status in (RunStatus.FAILED, RunStatus.CANCELLED):
        return str(((completion or {}).get("outcome") or {}).get("summary") or "") or None
    return None


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def as_text(moment: datetime | None) -> str | None:
    """Return a time in ISO 8601."""
    return moment.isoformat() if moment else None
