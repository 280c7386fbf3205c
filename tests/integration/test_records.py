"""The registry and the record in DynamoDB, with all processes real."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dagy_queue import ContainerRequest, RunCancelled, RunFailed, fan_out, launch
from dagy_queue.ids import shard_id
from dagy_queue.local.stack import LocalStack
from dagy_queue.records.flows import find_flow
from dagy_queue.records.models import FlowModel, RunModel, bind_models
from dagy_queue.records.runs import RunRecord, find_run
from tests.integration.conftest import ORG, TIMEOUT
from tests.integration.waiting import eventually


@pytest.fixture(autouse=True)
def _bound(flows: LocalStack) -> None:
    bind_models(flows.settings())


def recorded(run_id: str, status: str = "") -> RunRecord:
    """Wait for the record of a run that is over, or in a status."""

    def look() -> RunRecord | None:
        found = find_run(run_id)
        there = found and (found.status == status if status else found.completed_at)
        return found if there else None

    return eventually(look, f"run {run_id} is recorded")


def assert_recent(*times: datetime | None) -> None:
    """Check that times are there, in order, and of this test run."""
    given = [moment for moment in times if moment is not None]
    assert len(given) == len(times)
    assert given == sorted(given)
    assert datetime.now(UTC) - given[0] < timedelta(minutes=10)


def test_a_run_that_succeeded_is_recorded_with_all_that_was_said_of_it() -> None:
    said = {
        "correlation_id": "records-1",
        "environment": "staging",
        "trigger_source": "test",
        "triggered_by": "ann",
        "metadata": {"ticket": 7},
    }
    run = launch(flow_name="echo", flow_version="1.0.0", org_id=ORG, parameters={"value": 1}, **said)
    assert run.get(timeout=TIMEOUT) == 1
    record = recorded(run.run_id)
    assert {name: getattr(record, name) for name in said} == said
    assert (record.status, record.phase, record.attempt, record.retries) == ("SUCCEEDED", "SUCCEEDED", 1, 0)
    assert (record.org_id, record.flow_name, record.flow_version) == (ORG, "echo", "1.0.0")
    assert (record.task_arn, record.error_message) == (run.entry().task_arn, None)
    assert_recent(record.created_at, record.started_at, record.completed_at)


def test_a_run_that_failed_has_its_error_in_the_record_as_the_guide_reads_it() -> None:
    run = launch(flow_name="broken", org_id=ORG, parameters={"message": "no luck"})
    with pytest.raises(RunFailed) as caught:
        run.get(timeout=TIMEOUT)
    recorded(run.run_id)
    record = RunModel.get(run.run_id)
    assert (record.status, record.error_message) == ("FAILED", str(caught.value))
    assert "no luck" in record.error_message
    assert record.outcome["kind"] == "failed"
    assert_recent(record.started_at, record.completed_at)


def test_retries_are_counted_in_the_record() -> None:
    run = launch(flow_name="flaky", org_id=ORG, parameters={"works_at": 2}, max_retries=1, retry_delay=0)
    run.get(timeout=TIMEOUT)
    record = recorded(run.run_id)
    assert (record.status, record.attempt, record.retries, record.error_message) == ("SUCCEEDED", 2, 1, None)


def test_a_run_is_recorded_while_it_runs_and_when_it_is_cancelled() -> None:
    run = launch(flow_name="sleepy", org_id=ORG)
    running = recorded(run.run_id, "RUNNING")
    assert_recent(running.created_at, running.started_at)
    assert running.completed_at is None
    run.cancel()
    with pytest.raises(RunCancelled):
        run.get(timeout=TIMEOUT)
    record = recorded(run.run_id)
    assert (record.status, record.started_at) == ("CANCELLED", running.started_at)
    assert record.error_message


def test_every_shard_of_a_batch_is_recorded() -> None:
    batch = fan_out(
        flow_name="echo",
        org_id=ORG,
        shards=[{"value": n} for n in range(3)],
        correlation_id="records-2",
        metadata={"m": 1},
    )
    batch.get(timeout=TIMEOUT)
    for index in range(3):
        record = recorded(shard_id(batch.batch_id, index))
        assert (record.status, record.batch_id, record.shard) == ("SUCCEEDED", batch.batch_id, index)
        assert (record.flow_name, record.correlation_id, record.metadata) == ("echo", f"records-2:{index}", {"m": 1})
        assert_recent(record.created_at, record.started_at, record.completed_at)


def test_a_container_is_recorded_under_its_image() -> None:
    request = ContainerRequest(org_id=ORG, image="python:3.12-slim", command=("python", "-c", "raise SystemExit(3)"))
    batch = fan_out(request, shards=[{}])
    with pytest.raises(Exception, match="3"):
        batch.get(timeout=TIMEOUT)
    record = recorded(shard_id(batch.batch_id, 0))
    assert (record.status, record.flow_name, record.flow_version) == ("FAILED", "python:3.12-slim", "")
    assert record.outcome is not None
    assert record.outcome["exit_code"] == 3


def test_a_flow_saved_as_the_guide_does_can_be_launched() -> None:
    pushed = find_flow(ORG, "echo", "1.0.0")
    assert pushed is not None
    FlowModel(
        flow_name="echo-by-hand",
        flow_version="1.0.0",
        org_id=ORG,
        spec='{"name": "echo"}',
        artifact_s3_uri=pushed.artifact_uri,
    ).save()
    run = launch(flow_name="echo-by-hand", org_id=ORG, parameters={"value": "by hand"})
    assert run.get(timeout=TIMEOUT) == "by hand"
