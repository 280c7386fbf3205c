"""``timeout``: a run that takes too long is stopped and fails, whatever it is doing."""

from __future__ import annotations

import pytest

from dagy_queue import ContainerRequest, Phase, RunFailed, fan_out, launch
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import ORG, TIMEOUT
from tests.integration.waiting import until_phase

FOREVER = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest", command=("3600", "0"))


@pytest.fixture(autouse=True)
def _stack(flows: LocalStack) -> None:
    """Every test here needs the stack."""


def test_a_run_that_takes_too_long_is_stopped_and_fails(flows: LocalStack) -> None:
    run = launch(FOREVER, timeout="1s", max_retries=3)
    with pytest.raises(RunFailed, match="did not end within its timeout") as caught:
        run.get(timeout=TIMEOUT)
    assert caught.value.outcome["kind"] == "timed_out"
    assert "timeout" in caught.value.outcome["resolution"]
    task = _describe(flows, run.entry().task_arn)
    assert (task["lastStatus"], task["stoppedReason"]) == ("STOPPED", "dagy: its timeout is over")


def test_a_run_that_ends_in_time_succeeds() -> None:
    run = launch(FOREVER, command=["0", "0"], timeout=30)
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0


def test_the_timeout_goes_on_over_retries() -> None:
    run = launch(FOREVER, command=["0", "3"], timeout="1s", max_retries=100, retry_delay=60)
    until_phase(run, Phase.RETRYING)
    with pytest.raises(RunFailed, match="timeout"):
        run.get(timeout=TIMEOUT)


def test_every_shard_has_the_timeout_of_its_request() -> None:
    batch = fan_out(FOREVER.model_copy(update={"timeout": 1.0}), [{"command": ["0", "0"]}, {}])
    with pytest.raises(RunFailed, match="timeout"):
        batch.shard(1).get(timeout=TIMEOUT)
    assert batch.shard(0).get(timeout=TIMEOUT)["exit_code"] == 0


def _describe(stack: LocalStack, task_arn: str) -> dict[str, str]:
    import boto3

    ecs = boto3.client("ecs", endpoint_url=stack.endpoint_url)
    return ecs.describe_tasks(cluster="dagy", tasks=[task_arn])["tasks"][0]
