"""The registry and the record in DynamoDB, with all processes real."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis

from dagy_queue import ContainerRequest, DagLauncher, RunCancelled, RunFailed, RunHandle, RunNotFound, fan_out, launch
from dagy_queue.ids import new_id, shard_id
from dagy_queue.local.stack import LocalStack
from dagy_queue.records.flows import deprecate_flow, find_flow, register_flow
from dagy_queue.records.models import FlowModel, RunModel, bind_models
from dagy_queue.records.run_queries import RunFilter, runs_by_correlation_id, runs_of_batch, runs_of_org
from dagy_queue.records.runs import RunRecord, find_run
from tests.integration.conftest import ORG, TIMEOUT
from tests.integration.waiting import eventually


@pytest.fixture(autouse=True)
def _bound(flows: LocalStack) -> None:
    bind_models(flows.settings())


def recorded(run_id: str, status: str = "") -> RunRecord:
    """Wait for the record that the bridge keeps of a run that is over, or in a status; its worker may be faster."""

    def look() -> RunRecord | None:
        found = find_run(run_id)
        by_the_bridge = found and found.task_arn
        there = by_the_bridge and (found.status == status if status else found.outcome and found.completed_at)
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


def test_a_run_of_the_latest_version_is_recorded_with_the_version_that_ran() -> None:
    registered = find_flow(ORG, "echo", "latest")
    assert registered is not None
    run = launch(flow_name="echo", org_id=ORG, parameters={"value": 1})
    run.get(timeout=TIMEOUT)
    record = recorded(run.run_id)
    assert (record.flow_version, record.artifact_sha256) == (registered.version, registered.artifact_sha256)
    assert (run.entry().flow_version, run.entry().artifact_sha256) == (record.flow_version, record.artifact_sha256)
    status = DagLauncher().get_run_status(run.run_id, org_id=ORG)
    assert status is not None
    assert status["flow_version"] == registered.version


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


def forgotten(run: RunHandle, flows: LocalStack) -> RunHandle:
    """Have Redis forget a run, its result as well, as it does some time after the end."""
    recorded(run.run_id)
    redis.Redis.from_url(flows.redis_url).delete(f"dagy:run:{run.run_id}", f"celery-task-meta-{run.run_id}")
    return RunHandle(run.run_id)


def test_a_run_that_redis_has_forgotten_still_answers(flows: LocalStack) -> None:
    run = launch(flow_name="echo", org_id=ORG, parameters={"value": {"kept": "x" * 200_000}})
    value = run.get(timeout=TIMEOUT)
    assert forgotten(run, flows).get() == value
    container = launch(ContainerRequest(org_id=ORG, image="dagy-local/stub:latest"))
    value = container.get(timeout=TIMEOUT)
    assert forgotten(container, flows).get() == value


def test_a_failed_run_that_redis_has_forgotten_still_tells_why(flows: LocalStack) -> None:
    run = launch(flow_name="broken", org_id=ORG, parameters={"message": "no luck"})
    with pytest.raises(RunFailed, match="no luck"):
        run.get(timeout=TIMEOUT)
    with pytest.raises(RunFailed, match="no luck") as caught:
        forgotten(run, flows).get()
    assert caught.value.outcome["kind"] == "failed"


def test_a_run_that_nobody_knows_is_not_waited_for() -> None:
    with pytest.raises(RunNotFound, match=r"never published to this Redis, .*nor is there a record of it"):
        RunHandle(new_id()).get()


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
        assert record.flow_version == "1.0.0"
        assert_recent(record.created_at, record.started_at, record.completed_at)
    shards = [shard_id(batch.batch_id, index) for index in range(3)]
    for page in (runs_of_batch(ORG, batch.batch_id), runs_by_correlation_id(ORG, "records-2")):
        assert [run.run_id for run in page.runs] == shards
    assert set(shards) <= {run.run_id for run in runs_of_org(ORG, RunFilter(statuses=("SUCCEEDED",)), limit=1000).runs}
    assert runs_of_batch("other", batch.batch_id).runs == ()


def test_a_container_is_recorded_under_its_image() -> None:
    request = ContainerRequest(org_id=ORG, image="python:3.12-slim", command=("python", "-c", "raise SystemExit(3)"))
    batch = fan_out(request, shards=[{}])
    with pytest.raises(Exception, match="3"):
        batch.get(timeout=TIMEOUT)
    record = recorded(shard_id(batch.batch_id, 0))
    assert (record.status, record.flow_name, record.flow_version) == ("FAILED", "python:3.12-slim", "")
    assert record.outcome is not None
    assert record.outcome["exit_code"] == 3


def test_a_deprecated_version_is_not_launched_and_the_latest_is_another_one() -> None:
    pushed = find_flow(ORG, "echo", "1.0.0")
    assert pushed is not None
    for version in ("1.0.0", "2.0.0"):
        register_flow(replace(pushed, name="echo-twice", version=version), {"name": "echo"})
    deprecate_flow(ORG, "echo-twice", "2.0.0", "loses values")
    with pytest.raises(RunFailed, match=r"version '2\.0\.0' of org 'acme' is deprecated \(loses values\)"):
        launch(flow_name="echo-twice", flow_version="2.0.0", org_id=ORG).get(timeout=TIMEOUT)
    run = launch(flow_name="echo-twice", org_id=ORG, parameters={"value": "old"})
    assert run.get(timeout=TIMEOUT) == "old"
    assert recorded(run.run_id).flow_version == "1.0.0"


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
