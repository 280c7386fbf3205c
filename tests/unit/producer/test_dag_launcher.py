"""``DagLauncher.launch`` and its kin: the guide's results, which never raise."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from celery import states

from dagy_queue.errors import RedisUnavailable, RequestInvalid, ResultTimeout, RunCancelled, RunFailed, SettingsInvalid
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import AdmissionLedger, RedisConnection, RunLedger, RunStatus
from dagy_queue.messaging.names import LAUNCH_QUEUE
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.producer import fan_out
from dagy_queue.producer.launcher import DagLauncher
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.results import DagLaunchResult
from dagy_queue.producer.run import RunHandle
from dagy_queue.requests import LaunchRequest
from dagy_queue.settings import Settings, load_settings
from tests.unit.kit import TASK_ARN
from tests.unit.ledger.kit import launched_run, parked_run

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}
FAILED = Outcome(kind=Kind.START_FAILED, summary="no such image")


@pytest.fixture
def config(publisher: Publisher) -> Settings:
    return publisher.settings


@pytest.fixture
def launcher(config: Settings) -> DagLauncher:
    return DagLauncher(config)


def impatient(config: Settings, seconds: float = 0.05) -> DagLauncher:
    return DagLauncher(
        config.model_copy(update={"launch": config.launch.model_copy(update={"submit_timeout": seconds})})
    )


def test_a_launch_is_answered_at_once(launcher: DagLauncher) -> None:
    result = launcher.launch(**FLOW, correlation_id="req-1", metadata={"ticket": 7})
    assert result == DagLaunchResult(
        success=True, run_id=result.run_id, flow_name="etl", correlation_id="req-1", metadata={"ticket": 7}
    )
    assert RunHandle(result.run_id).run_id == result.run_id


def test_without_a_correlation_id_it_is_the_run_id(launcher: DagLauncher) -> None:
    result = launcher.launch(LaunchRequest(**FLOW))
    assert result.correlation_id == result.run_id


def test_what_cannot_be_launched_is_told_and_not_sent(launcher: DagLauncher, connection: RedisConnection) -> None:
    result = launcher.launch(**FLOW, cpu=1024, memory=16384, subnets=["x"])
    assert (result.success, result.flow_name, result.task_arn) == (False, "etl", None)
    assert "choose memory 2048-8192 in steps of 1024, or cpu 2048" in str(result.error_message)
    assert "subnets" in str(result.error_message)
    assert list(connection.client.scan_iter("*")) == []
    with pytest.raises(RequestInvalid):
        result.raise_for_error()


def test_a_launch_that_was_accepted_raises_nothing(launcher: DagLauncher) -> None:
    launcher.launch(**FLOW).raise_for_error()


@pytest.mark.parametrize("run_id", ["", "a/b"])
def test_a_run_id_that_ecs_could_not_carry_is_told(launcher: DagLauncher, run_id: str) -> None:
    assert "run_id" in str(launcher.launch(**FLOW, run_id=run_id).error_message)


def test_a_redis_out_of_reach_is_told() -> None:
    result = DagLauncher(load_settings(redis={"url": "redis://127.0.0.1:1/0"})).launch(**FLOW)
    assert isinstance(result.error, RedisUnavailable)
    assert not result.success


def test_what_to_wait_for_is_checked(launcher: DagLauncher) -> None:
    with pytest.raises(RequestInvalid, match="submitted"):
        launcher.launch(**FLOW, wait="finished")  # type: ignore[arg-type]


def test_a_launch_may_wait_for_its_task(launcher: DagLauncher, connection: RedisConnection) -> None:
    waited: list[DagLaunchResult] = []
    parked_run(connection, "run")
    waiter = threading.Thread(target=lambda: waited.append(launcher.launch(**FLOW, run_id="run", wait="submitted")))
    waiter.start()
    grant = AdmissionLedger(connection).lease(1, 60).grants[0]
    AdmissionLedger(connection).launched(grant.attempt_id, TASK_ARN)
    waiter.join(timeout=30)
    assert waited[0].task_arn == TASK_ARN


def test_a_run_that_ended_without_a_task_is_told(launcher: DagLauncher, connection: RedisConnection) -> None:
    parked_run(connection, "run")
    RunLedger(connection).complete(AttemptId("run", 1), {"outcome": FAILED.to_dict()})
    result = launcher.launch(**FLOW, run_id="run", wait="submitted")
    assert (result.success, result.error_message) == (False, "no such image")
    assert isinstance(result.error, RunFailed)


def test_a_run_that_was_cancelled_meanwhile_is_told(launcher: DagLauncher, connection: RedisConnection) -> None:
    parked_run(connection, "run")
    runs = RunLedger(connection)
    cancelled = Outcome(kind=Kind.CANCELLED, summary="not wanted").to_dict()
    runs.cancel("run", "not wanted", {"outcome": cancelled})
    runs.finish(AttemptId("run", 1), RunStatus.CANCELLED, cancelled)
    assert isinstance(launcher.launch(**FLOW, run_id="run", wait="submitted").error, RunCancelled)


def test_waiting_for_a_task_ends_with_what_ecs_said_last(config: Settings, connection: RedisConnection) -> None:
    parked_run(connection, "run")
    admission = AdmissionLedger(connection)
    grant = admission.lease(1, 60).grants[0]
    admission.release(grant.attempt_id, delay=60, new_attempt=False, give_up_after=60, reason="Rate exceeded")
    result = impatient(config).launch(**FLOW, run_id="run", wait="submitted")
    assert isinstance(result.error, ResultTimeout)
    assert "Rate exceeded" in str(result.error_message)
    assert "stays queued" in str(result.error_message)


def test_a_batch_has_results_in_order_and_children_of_its_correlation_id(
    launcher: DagLauncher, connection: RedisConnection
) -> None:
    requests = [{"flow_name": "process", "parameters": {"shard": str(n)}} for n in range(4)]
    results = launcher.launch_batch(requests, org_id="acme", environment="production", correlation_id="batch-7")
    assert [result.correlation_id for result in results] == [f"batch-7:{n}" for n in range(4)]
    assert all(result.success for result in results)
    assert connection.client.llen(LAUNCH_QUEUE) == 4
    assert [RunHandle(r.run_id, launcher.publisher).entry().correlation_id for r in results] == [
        f"batch-7:{n}" for n in range(4)
    ]


def test_a_request_that_is_wrong_spoils_only_its_own_result(launcher: DagLauncher, connection: RedisConnection) -> None:
    results = launcher.launch_batch([FLOW, {"flow_name": "../x"}, LaunchRequest(**FLOW)], org_id="acme")
    assert [result.success for result in results] == [True, False, True]
    assert "flow_name" in str(results[1].error_message)
    assert connection.client.llen(LAUNCH_QUEUE) == 2


def test_a_request_of_a_batch_may_have_its_own_fields(launcher: DagLauncher) -> None:
    results = launcher.launch_batch([{**FLOW, "correlation_id": "own", "org_id": "other"}], org_id="acme")
    entry = RunHandle(results[0].run_id, launcher.publisher).entry()
    assert (entry.correlation_id, entry.org_id) == ("own", "other")


def test_a_batch_of_nothing_has_no_results(launcher: DagLauncher) -> None:
    assert launcher.launch_batch([], org_id="acme") == []


def test_a_launcher_is_told_where_its_runs_go(config: Settings, connection: RedisConnection) -> None:
    launcher = DagLauncher(
        config,
        cluster_arn="arn:aws:ecs:us-east-1:123456789:cluster/dagy",
        task_execution_role_arn="arn:aws:iam::123456789:role/ecs-exec-role",
        worker_image="123456789.dkr.ecr.us-east-1.amazonaws.com/dagy-worker:latest",
        subnets=["subnet-12345", "subnet-67890"],
        region="us-east-1",
    )
    request = launcher.builder.build(None, FLOW)
    assert request.cluster.endswith("cluster/dagy")
    assert request.own_image.endswith("dagy-worker:latest")
    assert request.subnets == ("subnet-12345", "subnet-67890")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"subnets": ["12345"]}, "subnets"),
        ({"cluster_arn": "a b"}, "cluster"),
        ({"task_role_arn": "role"}, "task_role_arn"),
        ({"clusterarn": "x"}, "clusterarn"),
        ({"mode": "lambda"}, "mode"),
    ],
)
def test_options_that_cannot_be_used_are_refused_at_once(config: Settings, options: Any, field: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        DagLauncher(config, **options)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_the_status_of_a_run_is_plain_data(launcher: DagLauncher, connection: RedisConnection) -> None:
    launched_run(connection, "run")
    status = launcher.get_run_status("run")
    assert status is not None
    assert (status["run_id"], status["status"], status["error_message"]) == ("run", "QUEUED", None)
    assert status["task_arn"]
    assert status["completed_at"] is None


def test_the_status_of_a_run_that_failed_says_why(launcher: DagLauncher, connection: RedisConnection) -> None:
    attempt_id = launched_run(connection, "run")
    RunLedger(connection).complete(attempt_id, {"outcome": FAILED.to_dict()})
    RunLedger(connection).finish(attempt_id, RunStatus.FAILED, FAILED.to_dict())
    status = launcher.get_run_status("run")
    assert status is not None
    assert (status["status"], status["error_message"]) == ("FAILED", "no such image")
    assert status["completed_at"] is not None


def test_the_status_of_another_orgs_run_is_not_told(launcher: DagLauncher) -> None:
    run_id = launcher.launch(**FLOW).run_id
    assert launcher.get_run_status(run_id, org_id="acme") is not None
    assert launcher.get_run_status(run_id, org_id="other") is None


def test_a_process_of_one_org_is_told_of_its_own_runs_alone(launcher: DagLauncher, config: Settings) -> None:
    run_id = launcher.launch(**FLOW).run_id
    ours, others = (
        DagLauncher(config.model_copy(update={"records": config.records.model_copy(update={"org_id": org_id})}))
        for org_id in ("acme", "other")
    )
    assert ours.get_run_status(run_id) is not None
    assert ours.explain(run_id, org_id="acme") is not None
    assert ours.get_run_status(run_id, org_id="other") is None
    for asked in ({}, {"org_id": "acme"}, {"org_id": "other"}):
        assert others.get_run_status(run_id, **asked) is others.explain(run_id, **asked) is None


def test_a_direct_launcher_has_no_queue(config: Settings) -> None:
    launcher = DagLauncher(config, mode="direct")
    with pytest.raises(SettingsInvalid, match="direct mode"):
        launcher.enqueue(**FLOW)
    with pytest.raises(SettingsInvalid, match="direct mode"):
        fan_out(**FLOW, shards=[{}], launcher=launcher)


def test_a_direct_launch_that_cannot_work_is_told(config: Settings) -> None:
    result = DagLauncher(config, mode="direct").launch(**FLOW, cpu=1)
    assert (result.success, result.flow_name) == (False, "etl")


@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
@pytest.mark.parametrize(
    ("state", "value", "expected"),
    [(states.SUCCESS, 7, ("SUCCEEDED", None)), (states.FAILURE, RunFailed("no luck"), ("FAILED", "no luck"))],
)
def test_a_run_that_celery_knows_to_be_over_has_its_end(
    launcher: DagLauncher, connection: RedisConnection, state: str, value: Any, expected: tuple[str, str | None]
) -> None:
    RunLedger(connection).complete(launched_run(connection, "run"), {"outcome": FAILED.to_dict()})
    launcher.publisher.app.backend.store_result("run", value, state)
    status = launcher.get_run_status("run")
    assert status is not None
    assert (status["status"], status["error_message"]) == expected
    assert str(status["completed_at"]).endswith("+00:00")
