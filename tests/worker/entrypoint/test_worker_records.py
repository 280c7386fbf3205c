"""Records: what the worker's updates make of an item, and what they leave alone. DynamoDB decides (moto's)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from boto3.dynamodb.conditions import Key
from hypothesis import given, settings
from hypothesis import strategies as st

from dagy.contract import RunSpec
from dagy_queue.records.models import bind_models
from dagy_queue.records.runs import find_run
from dagy_queue.settings import load_settings
from dagy_worker.dynamodb import DynamoDb
from dagy_worker.notes import TaskChanged
from dagy_worker.records import run_beat, run_ended, run_started, task_item
from tests.worker.entrypoint.conftest import RUNS_TABLE, TASK_RUNS_TABLE, Worker

T1, T2, T3 = "2026-11-21T10:00:00.123Z", "2026-11-21T10:00:05.000Z", "2026-11-21T10:00:09.000Z"
FINAL = {"SUCCEEDED", "FAILED", "CANCELLED"}


def spec_of(run_id: str, attempt: int = 1, **fields: Any) -> RunSpec:
    return RunSpec(
        run_id=run_id,
        attempt=attempt,
        org_id="acme",
        flow_name="etl",
        flow_version="1.0.0",
        artifact_uri="s3://b/k",
        correlation_id="corr",
        runs_table=RUNS_TABLE,
        task_runs_table=TASK_RUNS_TABLE,
        **fields,
    )


@pytest.fixture(scope="module")
def dynamodb(records: Any, aws: dict[str, str]) -> Iterator[DynamoDb]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.items():
            patch.setenv(name, value)
        client = DynamoDb(aws)
        yield client
    client.close()


@pytest.fixture(scope="module")
def table(records: Any) -> Any:
    return records.Table(RUNS_TABLE)


def item(table: Any, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = table.get_item(Key={"run_id": run_id}, ConsistentRead=True).get("Item") or {}
    return found


@pytest.mark.usefixtures("in_aws")
def test_a_run_that_nobody_has_recorded_is_and_can_be_read_as_any_other(dynamodb: DynamoDb, table: Any) -> None:
    spec = spec_of("new", batch_id="b", shard=0, environment="production")
    assert dynamodb.update(run_started(spec, T1))
    assert dynamodb.update(run_beat(spec, T2))
    assert item(table, "new")["heartbeat_at"] == "2026-11-21T10:00:05.000000+0000"
    assert dynamodb.update(run_ended(spec, T1, T3, ""))
    bind_models(load_settings(records={"runs_table": RUNS_TABLE}))
    found = find_run("new")
    assert found is not None
    assert (found.status, found.phase, found.attempt, found.shard, found.batch_id) == (
        "SUCCEEDED",
        "SUCCEEDED",
        1,
        0,
        "b",
    )
    assert (found.org_id, found.flow_name, found.flow_version) == ("acme", "etl", "1.0.0")
    assert (found.correlation_id, found.environment, found.error_message) == ("corr", "production", None)
    assert [f"{at:%H:%M:%S.%f}" for at in (found.created_at, found.started_at, found.completed_at) if at] == [
        "10:00:00.123000",
        "10:00:00.123000",
        "10:00:09.000000",
    ]


def test_what_others_have_written_stays(dynamodb: DynamoDb, table: Any) -> None:
    earlier = "2026-11-21T09:00:00.000000+0000"
    table.put_item(
        Item={
            "run_id": "r",
            "attempt": 1,
            "status": "QUEUED",
            "phase": "SUBMITTED",
            "task_arn": "arn",
            "created_at": earlier,
        }
    )
    dynamodb.update(run_started(spec_of("r"), T1))
    found = item(table, "r")
    assert (found["status"], found["phase"], found["task_arn"], found["created_at"]) == (
        "RUNNING",
        "RUNNING",
        "arn",
        earlier,
    )


def test_a_failure_is_final_only_where_no_dispatcher_can_try_again(dynamodb: DynamoDb, table: Any) -> None:
    for run_id, is_direct in (("queued", False), ("direct", True)):
        spec = spec_of(run_id, is_direct=is_direct)
        dynamodb.update(run_started(spec, T1))
        dynamodb.update(run_ended(spec, T1, T2, "ValueError: boom"))
    queued, direct = item(table, "queued"), item(table, "direct")
    assert (queued["status"], queued["phase"], queued["error_message"]) == ("RUNNING", "STOPPED", "ValueError: boom")
    assert "completed_at" not in queued
    assert (direct["status"], direct["phase"], direct["error_message"]) == ("FAILED", "FAILED", "ValueError: boom")
    assert direct["completed_at"] == "2026-11-21T10:00:05.000000+0000"


def test_the_next_attempt_clears_what_the_last_one_died_of(dynamodb: DynamoDb, table: Any) -> None:
    dynamodb.update(run_ended(spec_of("again", is_direct=True), T1, T2, "ValueError: boom"))
    assert dynamodb.update(run_started(spec_of("again", 2), T3))
    found = item(table, "again")
    assert (found["status"], found["attempt"]) == ("RUNNING", 2)
    assert not {"completed_at", "error_message"} & found.keys()
    assert found["started_at"] == "2026-11-21T10:00:00.123000+0000"


@settings(max_examples=40, deadline=None)
@given(
    stored=st.integers(1, 3),
    status=st.sampled_from(["QUEUED", "RUNNING", *sorted(FINAL)]),
    attempt=st.integers(1, 3),
    update=st.sampled_from(["started", "succeeded", "failed"]),
)
def test_nothing_newer_is_ever_turned_back(
    dynamodb: DynamoDb, table: Any, stored: int, status: str, attempt: int, update: str
) -> None:
    run_id = uuid4().hex
    spec = spec_of(run_id, attempt, is_direct=True)
    request = {
        "started": run_started(spec, T1),
        "succeeded": run_ended(spec, T1, T2, ""),
        "failed": run_ended(spec, T1, T2, "x"),
    }[update]
    before = {"run_id": run_id, "attempt": stored, "status": status, "phase": status}
    table.put_item(Item=before)
    may = attempt > stored or (attempt == stored and status not in FINAL)
    assert dynamodb.update(request) is may
    after = item(table, run_id)
    assert (after["attempt"] == attempt) if may else (after == before)
    assert dynamodb.update(run_beat(spec_of(run_id, 9), T3)) is False


def task(number: int, **fields: Any) -> TaskChanged:
    values = {"state": "SUCCEEDED", "tries": 1, "started_at": T1, "finished_at": T2, "seconds": 4.877, "error": ""}
    return TaskChanged(place=0, name=f"t{number}", **{**values, **fields})


def test_tasks_are_written_with_what_is_known_of_them(dynamodb: DynamoDb, records: Any) -> None:
    spec = spec_of("tasks", 2)
    tasks = [task(n) for n in range(23)]
    tasks += [
        task(23, state="FAILED", error="ValueError: boom"),
        task(24, state="RUNNING", finished_at="", seconds=0.0),
    ]
    dynamodb.put_batch(TASK_RUNS_TABLE, [task_item(spec, each) for each in tasks])
    items = records.Table(TASK_RUNS_TABLE).query(KeyConditionExpression=Key("run_id").eq("tasks"))["Items"]
    assert len(items) == 25
    by_name = {each["task_name"]: each for each in items}
    assert by_name["t0"] == {
        "run_id": "tasks",
        "task_run_id": "0002#t0",
        "org_id": "acme",
        "attempt": 2,
        "task_name": "t0",
        "state": "SUCCEEDED",
        "tries": 1,
        "started_at": "2026-11-21T10:00:00.123000+0000",
        "finished_at": "2026-11-21T10:00:05.000000+0000",
        "seconds": by_name["t0"]["seconds"],
    }
    assert float(by_name["t0"]["seconds"]) == 4.877
    assert by_name["t23"]["error_message"] == "ValueError: boom"
    assert "finished_at" not in by_name["t24"]


RECORDED = """
from dagy import flow, task

@task(retries=1, retry_delay_seconds=0)
def flaky(seen=[]):
    seen.append(1)
    return 1 // (len(seen) - 1)

@task
def after(x):
    return x

@flow
def recorded():
    return after(flaky())
"""


def test_a_run_is_recorded_from_its_start_to_its_end_with_its_tasks(worker: Worker, records: Any) -> None:
    spec = worker.spec(RECORDED, run_id="whole", runs_table=RUNS_TABLE, task_runs_table=TASK_RUNS_TABLE)
    done = worker.run(spec)
    assert (done.exit_code, done.report.result) == (0, 1)
    found = item(records.Table(RUNS_TABLE), "whole")
    assert (found["status"], found["attempt"], found["flow_name"]) == ("SUCCEEDED", 2, "recorded")
    assert found["started_at"] <= found["completed_at"] == found["heartbeat_at"]
    tasks = records.Table(TASK_RUNS_TABLE).query(KeyConditionExpression=Key("run_id").eq("whole"))["Items"]
    assert [(each["task_run_id"], each["state"], each["tries"]) for each in tasks] == [
        ("0002#after", "SUCCEEDED", 1),
        ("0002#flaky", "SUCCEEDED", 2),
    ]


def test_a_run_goes_on_without_a_dynamodb(worker: Worker) -> None:
    spec = worker.spec(RECORDED, runs_table="NO_SUCH_TABLE", task_runs_table="NOR_THIS")
    done = worker.run(spec)
    assert (done.exit_code, done.report.result) == (0, 1)
    (told,) = done.events("record_failed")
    assert "ResourceNotFoundException" in told["message"]
