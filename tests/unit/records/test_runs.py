"""The record of runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from pynamodb.connection import TableConnection
from pynamodb.exceptions import PutError

from dagy_queue.errors import AwsError, AwsThrottled, AwsUnavailable
from dagy_queue.records.base import Record
from dagy_queue.records.models import RunModel, bind_models
from dagy_queue.records.run_queries import runs_by_correlation_id, runs_of_flow
from dagy_queue.records.runs import (
    RunRecord,
    add_run,
    find_run,
    find_run_of_any_org,
    put_run,
    replace_run,
    write_runs,
)
from dagy_queue.settings import Settings, load_settings
from tests.unit.records.conftest import TABLES

pytestmark = pytest.mark.usefixtures("tables")

NOON = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)
QUEUED = RunRecord(run_id="r", status="QUEUED", phase="HELD", created_at=NOON, org_id="acme", flow_name="etl")
FAILED = replace(
    QUEUED,
    status="FAILED",
    phase="FAILED",
    flow_version="1.0.0",
    artifact_sha256="a" * 64,
    attempt=2,
    retries=1,
    retries_of={"max_retries": 1},
    limits={"max_retries": 1},
    log="/ecs/dagy-worker dagy/worker/abc",
    task_arn="arn:aws:ecs:us-east-1:1:task/dagy/abc",
    correlation_id="c:7",
    batch_id="b",
    shard=7,
    environment="production",
    trigger_source="api",
    triggered_by="ann",
    metadata={"ticket": 7, "nested": {"a": [1.5, None]}},
    started_at=NOON.replace(minute=1),
    heartbeat_at=NOON.replace(second=59),
    completed_at=NOON.replace(minute=2),
    error_message="ValueError: no luck",
    outcome={"kind": "failed", "summary": "ValueError: no luck", "exit_code": 1},
)


@pytest.mark.parametrize("record", [QUEUED, FAILED, replace(FAILED, shard=0)])
def test_what_was_written_is_found(record: RunRecord) -> None:
    put_run(record)
    assert find_run("r") == record
    write_runs([record])
    assert find_run("r") == record


def test_a_record_that_an_older_version_wrote_can_be_read() -> None:
    put_run(QUEUED)
    newer = [RunModel.retries_of.remove(), RunModel.limits.remove(), RunModel.log.remove(), RunModel.metadata.remove()]
    RunModel("r").update(actions=newer)
    assert find_run("r") == QUEUED


def test_a_run_that_was_just_launched_is_added() -> None:
    add_run(FAILED)
    assert find_run("r") == FAILED


def test_what_a_worker_wrote_before_its_launch_was_recorded_stays() -> None:
    put_run(replace(QUEUED, status="SUCCEEDED", phase="SUCCEEDED", completed_at=NOON, flow_version="1.0.0"))
    launched = replace(
        QUEUED,
        created_at=NOON.replace(hour=11),
        task_arn="arn",
        log="/ecs/dagy-worker dagy/worker/abc",
        artifact_sha256="a" * 64,
        triggered_by="ann",
        metadata={"a": 1},
    )
    add_run(launched)
    expected = replace(launched, status="SUCCEEDED", phase="SUCCEEDED", completed_at=NOON, flow_version="1.0.0")
    assert find_run("r") == expected


def test_a_run_whose_worker_was_faster_is_found_by_its_flow_and_its_correlation_id() -> None:
    run = replace(QUEUED, correlation_id="c:7")
    written = {"run_id": "r", "status": "RUNNING", "phase": "RUNNING", "org_id": "acme", "flow_name": "etl"}
    item = {name: {"S": text} for name, text in (written | {"correlation_id": "c:7"}).items()}
    item["created_at"] = {"S": "2026-01-01T12:00:00.123000+0000"}
    boto3.client("dynamodb", "eu-west-1").put_item(TableName="TEST_RUNS", Item=item)
    add_run(run)
    for page in (runs_of_flow("acme", "etl"), runs_by_correlation_id("acme", "c")):
        assert [(each.run_id, each.status) for each in page.runs] == [("r", "RUNNING")]


def test_a_record_is_not_written_over_by_what_was_read_before_its_run_went_on() -> None:
    put_run(QUEUED)
    running = replace(QUEUED, status="RUNNING", phase="RUNNING", started_at=NOON)
    assert replace_run(QUEUED, running)
    put_run(FAILED)  # as its worker does
    assert not replace_run(running, replace(running, task_arn="arn"))
    assert find_run("r") == FAILED


def test_a_run_without_a_record_is_not_found() -> None:
    assert find_run("nobody") is None


@pytest.mark.parametrize("org_id", ["other", "*", "acm", "acme#", "ACME"])
def test_another_orgs_run_is_not_found(org_id: str) -> None:
    put_run(FAILED)
    assert find_run("r", "acme") == find_run("r") == FAILED
    assert find_run("r", org_id) is None


def test_a_process_of_one_org_reads_no_other_orgs_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    put_run(FAILED)
    monkeypatch.setattr(Record, "only_org", "acme")
    assert find_run("r") == FAILED
    monkeypatch.setattr(Record, "only_org", "other")
    assert find_run("r") is find_run("r", "acme") is None
    with pytest.raises(RunModel.DoesNotExist):
        RunModel.get("r")
    assert find_run_of_any_org("r") == FAILED


def test_the_setting_makes_it_a_process_of_one_org(config: Settings) -> None:
    put_run(FAILED)
    bind_models(load_settings(records={**TABLES, "org_id": "other"}, aws={"region": "eu-west-1"}))
    assert find_run("r") is None
    bind_models(config)
    assert find_run("r") == FAILED


def test_the_keys_of_the_indexes_are_written_whoever_writes_the_item() -> None:
    put_run(FAILED)
    write_runs([replace(FAILED, run_id="r2")])
    RunModel.get("r").save()
    client = boto3.client("dynamodb", "eu-west-1")
    for run_id in ("r", "r2"):
        item = client.get_item(TableName="TEST_RUNS", Key={"run_id": {"S": run_id}})["Item"]
        keys = {name: item[name]["S"] for name in ("org_id", "org_flow", "org_batch", "org_trace", "correlation_id")}
        assert keys == {
            "org_id": "acme",
            "org_flow": "acme#etl",
            "org_batch": "acme#b",
            "org_trace": "acme#c",
            "correlation_id": "c:7",
        }
        assert item["shard"] == {"N": "7"}


def test_the_guides_way_of_tracking_a_run_works() -> None:
    put_run(FAILED)
    run = RunModel.get("r")
    assert (run.status, run.started_at, run.completed_at, run.error_message) == (
        "FAILED",
        FAILED.started_at,
        FAILED.completed_at,
        "ValueError: no luck",
    )


def test_a_later_snapshot_replaces_the_earlier_one_as_a_whole() -> None:
    put_run(FAILED)
    put_run(QUEUED)
    assert find_run("r") == QUEUED


def test_records_are_written_25_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    write = TableConnection.batch_write_item
    monkeypatch.setattr(
        TableConnection, "batch_write_item", lambda *a, **k: calls.append(len(k["put_items"])) or write(*a, **k)
    )
    write_runs(replace(QUEUED, run_id=str(number)) for number in range(60))
    assert calls == [25, 25, 10]
    assert all(find_run(str(number)) for number in range(60))


def test_of_several_records_of_one_run_the_last_counts() -> None:
    write_runs([QUEUED, FAILED])
    assert find_run("r") == FAILED


def test_nothing_to_write_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TableConnection, "batch_write_item", lambda *_, **__: pytest.fail("asked"))
    write_runs([])


def unprocessed(items: list[Any]) -> dict[str, Any]:
    return {"UnprocessedItems": {"TEST_RUNS": [{"PutRequest": {"Item": item}} for item in items]}}


def test_what_dynamodb_did_not_get_to_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    write = TableConnection.batch_write_item
    calls: list[int] = []

    def first_leaves_some(self: TableConnection, put_items: list[Any], delete_items: Any) -> Any:
        calls.append(len(put_items))
        taken = put_items[:10] if len(calls) == 1 else put_items
        write(self, put_items=taken, delete_items=delete_items)
        return unprocessed(put_items[len(taken) :])

    monkeypatch.setattr(TableConnection, "batch_write_item", first_leaves_some)
    write_runs(replace(QUEUED, run_id=str(number)) for number in range(25))
    assert calls == [25, 15]
    assert all(find_run(str(number)) for number in range(25))


def test_what_dynamodb_never_gets_to_is_a_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TableConnection, "batch_write_item", lambda _, put_items, **__: unprocessed(put_items))
    with pytest.raises(AwsThrottled, match="written later"):
        write_runs([QUEUED])


def test_errors_of_dynamodb_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise PutError("no", EndpointConnectionError(endpoint_url="http://x"))

    monkeypatch.setattr(TableConnection, "batch_write_item", fail)
    monkeypatch.setattr(TableConnection, "put_item", fail)
    for write in (lambda: write_runs([QUEUED]), lambda: put_run(QUEUED)):
        with pytest.raises(AwsUnavailable) as caught:
            write()
        assert isinstance(caught.value, AwsError)
        assert caught.value.operation.startswith("dynamodb:")
