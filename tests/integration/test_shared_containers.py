"""``shards_per_run``: several shards of a flow in one container, each with its own result, error and retries."""

from __future__ import annotations

import pytest
from celery.exceptions import ChordError

from dagy_queue import ContainerRequest, Phase, RequestInvalid, RunStatus, fan_out
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import ORG, TIMEOUT
from tests.integration.waiting import until_phase


@pytest.fixture(autouse=True)
def _stack(flows: LocalStack) -> None:
    """Every test here needs the stack."""


def test_shards_share_containers_and_each_has_its_result(flows: LocalStack) -> None:
    flows.admin("reset")
    shards = [{"value": n} for n in range(10)]
    batch = fan_out(flow_name="echo", org_id=ORG, shards=shards, shards_per_run=4)
    assert batch.get(timeout=TIMEOUT) == list(range(10))
    assert flows.admin("stats")["tasks_created"] == 3
    arns = [batch.shard(n).entry().task_arn for n in range(10)]
    assert [arns.count(arn) for arn in dict.fromkeys(arns)] == [4, 4, 2]


def test_a_shard_that_fails_does_not_fail_those_it_shares_a_container_with() -> None:
    shards = [{"works_at": 1}, {"works_at": 9}, {"works_at": 1}]
    batch = fan_out(flow_name="flaky", org_id=ORG, shards=shards, shards_per_run=3)
    with pytest.raises(ChordError, match=r"1 of 3 shards failed: shard 1 .*attempt 1 fails"):
        batch.get(timeout=TIMEOUT)
    assert [shard.status for shard in batch.results()] == [
        RunStatus.SUCCEEDED,
        RunStatus.FAILED,
        RunStatus.SUCCEEDED,
    ]


def test_a_shard_that_failed_is_tried_again_by_itself(flows: LocalStack) -> None:
    flows.admin("reset")
    shards = [{"works_at": 1}, {"works_at": 2}, {"works_at": 1}]
    batch = fan_out(flow_name="flaky", org_id=ORG, shards=shards, shards_per_run=3, max_retries=2, retry_delay=0)
    assert batch.get(timeout=TIMEOUT) == ["attempt 1 works", "attempt 2 works", "attempt 1 works"]
    assert flows.admin("stats")["tasks_created"] == 2


def test_each_shard_is_told_which_it_is() -> None:
    batch = fan_out(flow_name="surroundings", org_id=ORG, correlation_id="root", shards=[{}, {}], shards_per_run=2)
    seen = batch.get(timeout=TIMEOUT)
    assert [each["TASK_NUM"] for each in seen] == ["0", "1"]
    assert [each["DAGY_CORRELATION_ID"] for each in seen] == ["root:0", "root:1"]
    assert [each["DAGY_RUN_ID"] for each in seen] == [batch.shard(n).run_id for n in range(2)]


def test_cancelling_the_batch_stops_the_container_and_keeps_what_was_done() -> None:
    shards = [{"seconds": 0}, {"seconds": 3600}, {"seconds": 3600}]
    batch = fan_out(flow_name="sleepy", org_id=ORG, shards=shards, shards_per_run=3)
    until_phase(batch.shard(1), Phase.RUNNING)
    batch.cancel()
    with pytest.raises(ChordError, match="cancelled"):
        batch.get(timeout=TIMEOUT)
    assert [shard.status for shard in batch.results(1)] == [RunStatus.CANCELLED, RunStatus.CANCELLED]


def test_cancelling_one_shard_leaves_those_it_shares_a_container_with() -> None:
    shards = [{"seconds": 1.5}, {"seconds": 0}, {"seconds": 0}]
    batch = fan_out(flow_name="sleepy", org_id=ORG, shards=shards, shards_per_run=3, tolerate=1)
    until_phase(batch.shard(0), Phase.RUNNING)
    batch.shard(2).cancel()
    batch.get(timeout=TIMEOUT)
    assert [shard.status for shard in batch.results(0, 2)] == [RunStatus.SUCCEEDED, RunStatus.SUCCEEDED]


def test_a_window_counts_containers(flows: LocalStack) -> None:
    flows.admin("reset")
    shards = [{"value": n} for n in range(12)]
    batch = fan_out(flow_name="echo", org_id=ORG, shards=shards, shards_per_run=3, max_parallel=1)
    assert batch.get(timeout=TIMEOUT) == list(range(12))
    assert flows.admin("stats")["max_concurrent"] == 1


def test_only_flows_can_share_a_container() -> None:
    with pytest.raises(RequestInvalid, match="only flows"):
        fan_out(ContainerRequest(org_id=ORG, image="job:1"), [{}], shards_per_run=2)
