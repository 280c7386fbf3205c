"""The record of runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from pynamodb.connection import TableConnection
from pynamodb.exceptions import PutError

from dagy_queue.errors import AwsError, AwsThrottled, AwsUnavailable
from dagy_queue.records.models import RunModel
from dagy_queue.records.runs import RunRecord, find_run, put_run, write_runs

pytestmark = pytest.mark.usefixtures("tables")

NOON = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)
QUEUED = RunRecord(run_id="r", status="QUEUED", phase="HELD", created_at=NOON, org_id="acme", flow_name="etl")
FAILED = replace(
    QUEUED,
    status="FAILED",
    phase="FAILED",
    flow_version="1.0.0",
    attempt=2,
    retries=1,
    task_arn="arn:aws:ecs:us-east-1:1:task/dagy/abc",
    correlation_id="c:7",
    batch_id="b",
    shard=7,
    environment="production",
    trigger_source="api",
    triggered_by="ann",
    metadata={"ticket": 7, "nested": {"a": [1.5, None]}},
    started_at=NOON.replace(minute=1),
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


def test_a_run_without_a_record_is_not_found() -> None:
    assert find_run("nobody") is None


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
