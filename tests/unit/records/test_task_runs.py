"""The tasks inside a flow run, in the record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from dagy_queue.records.base import Record
from dagy_queue.records.models import TaskRunModel
from dagy_queue.records.task_run_model import task_run_id
from dagy_queue.records.task_runs import TaskRun, task_runs_of

pytestmark = pytest.mark.usefixtures("tables")

NOON = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)


def task(name: str, attempt: int = 1, **fields: Any) -> None:
    own = {"run_id": "r", "org_id": "acme", "state": "SUCCEEDED", "tries": 1} | fields
    TaskRunModel(task_run_id=task_run_id(attempt, name), attempt=attempt, task_name=name, **own).save()


def test_tasks_come_by_attempt_and_name() -> None:
    for name, attempt in (("b", 1), ("a", 2), ("a", 1), ("c", 10)):
        task(name, attempt)
    task("a", run_id="other")
    assert [(each.attempt, each.task_name) for each in task_runs_of("r", "acme")] == [
        (1, "a"),
        (1, "b"),
        (2, "a"),
        (10, "c"),
    ]
    assert [each.task_name for each in task_runs_of("r", "acme", attempt=1)] == ["a", "b"]


def test_what_a_container_writes_is_read() -> None:
    # The words that the worker writes, in DynamoDB's own form.
    item = {
        "run_id": {"S": "r"},
        "task_run_id": {"S": "0002#extract#1"},
        "org_id": {"S": "acme"},
        "attempt": {"N": "2"},
        "task_name": {"S": "extract#1"},
        "state": {"S": "FAILED"},
        "tries": {"N": "3"},
        "started_at": {"S": "2026-01-01T12:00:00.123000+0000"},
        "finished_at": {"S": "2026-01-01T12:00:00.123000+0000"},
        "seconds": {"N": "1.25"},
        "error_message": {"S": "no luck"},
    }
    boto3.client("dynamodb", "eu-west-1").put_item(TableName="TEST_TASK_RUNS", Item=item)
    assert task_runs_of("r", "acme") == [
        TaskRun(
            run_id="r",
            attempt=2,
            task_name="extract#1",
            state="FAILED",
            tries=3,
            started_at=NOON,
            finished_at=NOON,
            seconds=1.25,
            error_message="no luck",
        )
    ]


def test_a_task_that_runs_has_no_end() -> None:
    task("a", state="RUNNING", started_at=NOON)
    (found,) = task_runs_of("r", "acme")
    assert (found.state, found.finished_at, found.seconds, found.error_message) == ("RUNNING", None, None, None)


@pytest.mark.parametrize("org_id", ["other", "", "*", "acme#"])
def test_another_orgs_tasks_are_never_found(org_id: str) -> None:
    task("a")
    assert task_runs_of("r", org_id) == []


def test_a_process_of_one_org_reads_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    task("a")
    monkeypatch.setattr(Record, "only_org", "other")
    assert task_runs_of("r", "acme") == []


def test_attempts_sort_as_numbers() -> None:
    keys = [task_run_id(attempt, "a") for attempt in (1, 2, 10, 100, 9999)]
    assert keys == sorted(keys)
    assert keys[0] == "0001#a"
