"""The tasks inside a flow run, as the containers wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from dagy_queue.records.base import dynamodb, may_read
from dagy_queue.records.task_run_model import TaskRunModel, task_run_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """What became of one task in one attempt of a run, as a plain value."""

    run_id: str
    attempt: int
    task_name: str
    state: str
    """RUNNING, SUCCEEDED, FAILED, SKIPPED or TIMED_OUT."""
    tries: int
    """How often the task was tried within the attempt."""
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    error_message: str | None


def task_runs_of(run_id: str, org_id: str, attempt: int | None = None) -> list[TaskRun]:
    """Return the tasks of an org's run by attempt and name; of one attempt alone if that is given.

    There are none of another org's run. Raises an AwsError.
    """
    return list(_read(run_id, org_id, attempt))


def _read(run_id: str, org_id: str, attempt: int | None) -> Iterator[TaskRun]:
    if not org_id or not may_read(org_id):
        return
    of_attempt = None if attempt is None else TaskRunModel.task_run_id.startswith(task_run_id(attempt, ""))
    with dynamodb("dynamodb:Query"):
        found = TaskRunModel.query(run_id, of_attempt, TaskRunModel.org_id == org_id, consistent_read=True)
        for item in found:
            yield TaskRun(
                run_id=item.run_id,
                attempt=int(item.attempt),
                task_name=item.task_name,
                state=item.state,
                tries=int(item.tries),
                started_at=item.started_at,
                finished_at=item.finished_at,
                seconds=None if item.seconds is None else float(item.seconds),
                error_message=item.error_message,
            )
