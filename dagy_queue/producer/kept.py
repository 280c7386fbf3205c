"""What is kept of a run that is over and whose Celery result is gone, or was never stored: ``RunHandle.get`` asks.

The ledger tells how it ended for some hours or days, its record for good; what a flow returned is in the worker's
report in S3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagy_queue.aws.refusals import NO_CREDENTIALS
from dagy_queue.errors import AwsError, AwsRefused, ResultExpired, RunCancelled, RunFailed, RunNotFound
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import RunEntry, RunStatus
from dagy_queue.ledger.history import HistoryLedger
from dagy_queue.producer.publisher import Publisher

if TYPE_CHECKING:
    from dagy_queue.records.runs import RunRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A run that is over."""

    attempt_id: AttemptId
    org_id: str
    is_flow: bool
    correlation_id: str
    task_arn: str
    status: RunStatus
    outcome: Mapping[str, Any]
    error: str

    def answer(self, publisher: Publisher) -> Any:
        """Return what the run returned. Raises RunFailed, RunCancelled, ResultExpired, AwsError."""
        if self.status is RunStatus.FAILED:
            raise RunFailed(self.error, self.outcome)
        if self.status is RunStatus.CANCELLED:
            raise RunCancelled(f"run {self.attempt_id.run_id} was cancelled: {self.error}")
        return self._of_flow(publisher) if self.is_flow else self._of_container()

    def _of_flow(self, publisher: Publisher) -> Any:
        from dagy_queue.launching.results import NoResult, find_result

        try:
            return find_result(publisher.settings, self.org_id, self.attempt_id)
        except NoResult as exc:
            raise ResultExpired(
                f"run {self.attempt_id.run_id} succeeded, but what it returned is not in the result backend any more, "
                f"nor in S3: {exc}"
            ) from exc

    def _of_container(self) -> dict[str, Any]:
        code = self.outcome.get("exit_code")
        exit_code = None if code is None else int(code)
        return {
            **({"skipped": True} if exit_code else {}),
            "run_id": self.attempt_id.run_id,
            "correlation_id": self.correlation_id,
            "exit_code": exit_code,
            "task_arn": self.task_arn,
        }


def kept_in_ledger(publisher: Publisher, entry: RunEntry) -> Kept:
    """Return a run that is over, as the ledger has it."""
    request: Mapping[str, Any] = {}
    for found in HistoryLedger(publisher.redis).snapshots([entry.run_id]):
        request = found.request
    outcome = (entry.completion or {}).get("outcome") or {}
    return Kept(
        attempt_id=AttemptId(entry.run_id, entry.attempt),
        org_id=entry.org_id,
        is_flow="flow_name" in request,
        correlation_id=entry.correlation_id,
        task_arn=entry.task_arn,
        status=entry.status,
        outcome=outcome,
        error=str(outcome.get("summary") or entry.cancel_reason or entry.status.value.lower()),
    )


def find_record(run_id: str) -> RunRecord | None:
    """Return the record of a run; None if there is none, or no way to read it."""
    from dagy_queue.records.runs import find_run

    try:
        return find_run(run_id)
    except AwsRefused as exc:
        if exc.code == NO_CREDENTIALS:
            return None
        raise


def kept_in_record(unknown: RunNotFound, run_id: str) -> Kept:
    """Return a run that is over, as its record has it. Raises RunNotFound; the ledger's own was ``unknown``."""
    try:
        record = find_record(run_id)
    except AwsError as exc:
        raise RunNotFound(f"{unknown}; whether there is a record of it is not known: {exc}") from exc
    if record is None:
        raise RunNotFound(f"{unknown}; nor is there a record of it") from unknown
    if record.completed_at is None:
        raise RunNotFound(
            f"{unknown}; its record says {record.status}: it was launched directly or by way of another Redis, or this "
            f"one has lost it. DagLauncher().get_run_status({run_id!r}) goes on reading its record"
        ) from unknown
    return _of_record(record)


def _of_record(record: RunRecord) -> Kept:
    return Kept(
        attempt_id=AttemptId(record.run_id, record.attempt),
        org_id=record.org_id,
        is_flow=bool(record.flow_version),
        correlation_id=record.correlation_id,
        task_arn=record.task_arn,
        status=RunStatus(record.status),
        outcome=record.outcome or {},
        error=record.error_message or record.status.lower(),
    )
