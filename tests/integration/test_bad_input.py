"""Bad input and missing services: an error that names what was wrong, in the caller where it can be known there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dagy_queue import (
    BatchHandle,
    DagLauncher,
    LedgerError,
    Phase,
    RedisUnavailable,
    RequestInvalid,
    RunFailed,
    RunHandle,
    RunNotFound,
    RunStatus,
    fan_out,
    launch,
    launch_sig,
    load_settings,
)
from dagy_queue.ids import new_id
from dagy_queue.ledger import RedisConnection
from dagy_queue.local.free_port import free_port
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import ORG, TIMEOUT, app_sig
from tests.integration.waiting import eventually

pytestmark = pytest.mark.usefixtures("application")


def test_a_request_is_refused_in_the_caller_with_every_problem_at_once() -> None:
    with pytest.raises(RequestInvalid) as caught:
        launch(flow_name="a b", parameters={"when": object()}, extra_env_vars={"DAGY_RUN_ID": "mine"}, colour="red")
    fields = {problem.field for problem in caught.value.problems}
    assert fields == {"flow_name", "org_id", "parameters", "extra_env_vars", "colour"}


def test_an_unknown_flow_ends_the_run_with_what_to_do() -> None:
    run = launch(flow_name="no-such-flow", org_id=ORG)
    with pytest.raises(RunFailed, match="'no-such-flow' version 'latest' is not registered for org 'acme'"):
        run.get(timeout=TIMEOUT)
    assert run.status() is RunStatus.FAILED
    assert "dagy-queue flow push" in run.outcome().summary


def test_a_flow_of_another_org_is_not_found() -> None:
    with pytest.raises(RunFailed, match="not registered for org 'other'"):
        launch(flow_name="echo", org_id="other").get(timeout=TIMEOUT)


def test_parameters_that_do_not_fit_the_flow_end_the_run_naming_them() -> None:
    run = launch(flow_name="echo", org_id=ORG, parameters={"valu": 1})
    with pytest.raises(RunFailed, match="valu"):
        run.get(timeout=TIMEOUT)
    assert run.outcome().exit_code == 2


def test_a_hand_made_message_with_a_bad_request_ends_failed() -> None:
    signature = launch_sig(flow_name="echo", org_id=ORG)
    signature.kwargs["request"] = {"flow_name": "echo"}
    result = signature.apply_async()
    with pytest.raises(RequestInvalid, match="org_id"):
        result.get(timeout=TIMEOUT)
    assert RunHandle(result.id).status() is RunStatus.FAILED
    outcome = eventually(RunHandle(result.id).outcome, "the ledger knows how the run ended")
    assert "org_id" in outcome.summary


def test_a_task_id_that_ecs_could_not_carry_ends_failed() -> None:
    result = launch_sig(flow_name="echo", org_id=ORG).apply_async(task_id=f"mine:{new_id()}")
    with pytest.raises(RequestInvalid, match="task_id"):
        result.get(timeout=TIMEOUT)


@pytest.mark.parametrize("junk", ["high", [9], -1])
def test_a_hand_made_message_may_carry_anything_as_its_priority(junk: object) -> None:
    result = launch_sig(flow_name="echo", org_id=ORG, parameters={"value": 1}).apply_async(priority=junk)
    assert result.get(timeout=TIMEOUT) == 1


def test_a_run_on_which_the_ledger_fails_ends_failed_and_the_others_go_on(flows: LocalStack) -> None:
    client = RedisConnection(flows.settings().redis).client
    client.set("dagy:lane:us-east-1/dagy|FARGATE:unlucky", "no lane")
    run = launch(flow_name="echo", org_id="unlucky")
    with pytest.raises(LedgerError, match="WRONGTYPE"):
        run.get(timeout=TIMEOUT)
    eventually(lambda: run.entry().phase is Phase.FAILED, "the run is closed")
    assert "WRONGTYPE" in run.outcome().summary
    assert launch(flow_name="echo", org_id=ORG, parameters={"value": 1}).get(timeout=TIMEOUT) == 1


def test_the_outcome_says_what_the_error_says() -> None:
    run = launch(flow_name="broken", org_id=ORG)
    with pytest.raises(RunFailed, match="no luck") as caught:
        run.get(timeout=TIMEOUT)
    eventually(lambda: run.entry().phase is Phase.FAILED, "the run is closed")
    assert run.outcome().to_dict() == caught.value.outcome


@pytest.mark.parametrize("call", [lambda: launch("greeting"), lambda: BatchHandle("nope"), lambda: echo_to(print)])
def test_arguments_of_a_wrong_kind_are_named(call: Callable[[], object]) -> None:
    with pytest.raises(RequestInvalid):
        call()


def echo_to(callback: object) -> object:
    return fan_out(flow_name="echo", org_id=ORG, shards=[{}], callback=callback)


@pytest.mark.parametrize("code", [0, 7])
def test_a_flow_that_calls_os_exit_is_no_success(code: int) -> None:
    with pytest.raises(RunFailed, match=rf"ProcessExited in task 'vanish': .*os\._exit\({code}\)") as caught:
        launch(flow_name="vanishing", org_id=ORG, parameters={"code": code}).get(timeout=TIMEOUT)
    assert caught.value.outcome["exit_code"] == (code or 1)


def test_a_worker_image_that_leaves_no_report_is_no_success() -> None:
    with pytest.raises(RunFailed, match="without writing its report"):
        launch(flow_name="echo", org_id=ORG, worker_image="dagy-local/stub").get(timeout=TIMEOUT)


def test_a_run_that_was_never_published_is_not_found() -> None:
    with pytest.raises(RunNotFound, match="never published"):
        RunHandle(new_id()).status()
    with pytest.raises(RunNotFound, match="never published"):
        RunHandle(new_id()).cancel()


def test_a_bad_run_id_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="run_id"):
        launch(flow_name="echo", org_id=ORG, run_id="no spaces")


def test_the_same_run_id_launches_once() -> None:
    run_id = new_id()
    first = launch(flow_name="echo", org_id=ORG, run_id=run_id, parameters={"value": "first"})
    second = launch(flow_name="echo", org_id=ORG, run_id=run_id, parameters={"value": "second"})
    assert first.get(timeout=TIMEOUT) == second.get(timeout=TIMEOUT) == "first"


def test_without_redis_a_launch_says_so_at_once() -> None:
    settings = load_settings(redis={"url": f"redis://:secret@127.0.0.1:{free_port()}/0", "socket_timeout": 1})
    with pytest.raises(RedisUnavailable, match="is it running") as caught:
        DagLauncher(settings).enqueue(flow_name="echo", org_id=ORG)
    assert "secret" not in str(caught.value)


def test_without_aws_a_run_fails_when_its_start_timeout_is_over(flows: LocalStack) -> None:
    """Its own cluster keeps its runs apart; its own Redis database keeps the session's dispatcher away."""
    url = flows.redis_url.removesuffix("/0") + "/1"
    flows.spawn(
        "dispatcher",
        label="without-aws",
        environment={
            "DAGY_REDIS_URL": url,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
            "DAGY_QUEUE__DISPATCH__CHECK_HEALTH_ON_STARTUP": "false",
            "DAGY_QUEUE__DISPATCH__START_TIMEOUT": "0.5",
            "DAGY_QUEUE__DISPATCH__THROTTLE_DELAY": "0.1",
        },
    )
    run = DagLauncher(flows.settings(redis={"url": url})).enqueue(flow_name="echo", org_id=ORG)
    with pytest.raises(RunFailed, match=r"could not be launched within 0.5 seconds.*AWS_ENDPOINT_URL"):
        run.get(timeout=90)
    flows.end("without-aws")


def test_parameters_larger_than_runtask_takes_travel_by_s3() -> None:
    value = "x" * 200_000
    assert launch(flow_name="echo", org_id=ORG, parameters={"value": value}).get(timeout=TIMEOUT) == value


def test_a_failing_callback_is_the_callers_error() -> None:
    batch = fan_out(flow_name="echo", org_id=ORG, shards=[{"value": 1}], callback=app_sig("fail"))
    with pytest.raises(RuntimeError, match="the callback failed"):
        batch.get(timeout=TIMEOUT)
