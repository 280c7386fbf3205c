"""Fan-out: one message, a run per shard, one callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery.exceptions import ChordError

from dagy_queue import (
    BatchHandle,
    BatchNotFound,
    ContainerRequest,
    DagLauncher,
    Phase,
    RequestInvalid,
    ResultTimeout,
    RunFailed,
    RunStatus,
    fan_out,
    load_settings,
)
from dagy_queue.ids import new_id, shard_id
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import ORG, TIMEOUT, app_sig

pytestmark = pytest.mark.usefixtures("application")


def echo_batch(values: list[Any], **options: Any) -> BatchHandle:
    shards = [{"value": value} for value in values]
    return fan_out(flow_name="echo", org_id=ORG, shards=shards, **options)


def test_without_a_callback_a_batch_gives_every_shards_result_in_order() -> None:
    assert echo_batch(["a", {"b": 1}, None, 3]).get(timeout=TIMEOUT) == ["a", {"b": 1}, None, 3]


def test_the_callback_gets_all_results_in_order_once(noted: Callable[[str], list[str]]) -> None:
    batch = echo_batch([3, 1, 2], callback=app_sig("note", "fan-out"))
    assert batch.get(timeout=TIMEOUT) == [3, 1, 2]
    assert noted("fan-out") == ["[3, 1, 2]"]


def test_shards_have_their_own_ids_correlation_ids_and_attempts(flows: LocalStack) -> None:
    batch = fan_out(flow_name="surroundings", org_id=ORG, shards=[{}, {}], correlation_id="batch-7")
    for index, environment in enumerate(batch.get(timeout=TIMEOUT)):
        assert environment["DAGY_CORRELATION_ID"] == f"batch-7:{index}"
        assert environment["DAGY_RUN_ID"] == shard_id(batch.batch_id, index)
        assert environment["TASK_NAME"] == f"dagy-{batch.batch_id}-{index}"
        assert (environment["TASK_NUM"], environment["DAGY_ATTEMPT"]) == (str(index), "1")
        assert not [name for name in environment if name.startswith("DAGY_REDIS")]


def test_what_shards_share_is_merged_with_what_differs() -> None:
    batch = fan_out(flow_name="echo", org_id=ORG, parameters={"value": "shared"}, shards=[{}, {"value": "own"}])
    assert batch.get(timeout=TIMEOUT) == ["shared", "own"]


def test_a_failed_shard_fails_the_callback_and_is_counted() -> None:
    batch = fan_out(flow_name="flaky", org_id=ORG, shards=[{"works_at": 1}, {"works_at": 9}])
    with pytest.raises(ChordError, match="attempt 1 fails"):
        batch.get(timeout=TIMEOUT)
    last = list(batch.watch())[-1]
    assert (last.done, last.failed, last.is_over) == (2, 1, True)
    with pytest.raises(RunFailed, match="attempt 1 fails"):
        batch.shard(1).get(timeout=TIMEOUT)
    assert batch.shard(0).get(timeout=TIMEOUT) == "attempt 1 works"


def test_a_shard_is_retried_under_its_own_id() -> None:
    batch = fan_out(
        flow_name="flaky", org_id=ORG, max_retries=2, retry_delay=0.1, shards=[{"works_at": 1}, {"works_at": 3}]
    )
    assert batch.get(timeout=TIMEOUT) == ["attempt 1 works", "attempt 3 works"]
    assert batch.shard(1).entry().attempt == 3


def test_a_cancelled_shard_fails_its_batch() -> None:
    batch = fan_out(flow_name="sleepy", org_id=ORG, shards=[{"seconds": 0}, {"seconds": 60}])
    next(progress for progress in batch.watch() if progress.by_phase.get(Phase.RUNNING))
    batch.shard(1).cancel()
    with pytest.raises(ChordError, match="cancelled"):
        batch.get(timeout=TIMEOUT)
    assert batch.shard(1).status() is RunStatus.CANCELLED


def test_an_empty_batch_calls_back_with_no_results() -> None:
    assert echo_batch([]).get(timeout=TIMEOUT) == []


def test_a_batch_of_one() -> None:
    assert echo_batch(["only"]).get(timeout=TIMEOUT) == ["only"]


def test_a_batch_is_found_by_its_id_and_launched_once(flows: LocalStack) -> None:
    batch_id = new_id()
    for _ in range(2):
        batch = echo_batch([1, 2], batch_id=batch_id)
    assert BatchHandle(batch_id).get(timeout=TIMEOUT) == [1, 2]
    assert len(BatchHandle(batch_id)) == 2
    assert list(batch.watch())[-1].by_phase == {Phase.SUCCEEDED: 2}


def test_one_message_is_sent_however_many_shards_there_are(connection: Any) -> None:
    launcher = DagLauncher(load_settings(redis={"url": connection.settings.url}))
    fan_out(flow_name="echo", org_id=ORG, shards=({"value": n} for n in range(10_000)), launcher=launcher)
    client = redis.Redis.from_url(connection.settings.url)
    assert client.llen("dagy.fanout") == 1


def test_shards_that_are_not_json_are_all_named_and_nothing_is_sent() -> None:
    with pytest.raises(RequestInvalid) as caught:
        fan_out(flow_name="echo", org_id=ORG, shards=[{"value": {1}}, {"value": 2}, "three"])
    assert [problem.field for problem in caught.value.problems] == ["shards[0].value", "shards[2]"]


def test_a_batch_that_goes_on_can_be_waited_for_again() -> None:
    batch = fan_out(flow_name="sleepy", org_id=ORG, shards=[{"seconds": 1}])
    with pytest.raises(ResultTimeout, match="it goes on"):
        batch.get(timeout=0.05)
    assert batch.get(timeout=TIMEOUT) == ["rested"]


def test_an_unknown_batch_is_named(flows: LocalStack) -> None:
    with pytest.raises(BatchNotFound):
        BatchHandle(new_id()).progress()


def test_a_hundred_trivial_flows_run_as_real_processes() -> None:
    assert echo_batch(list(range(100))).get(timeout=TIMEOUT) == list(range(100))


def test_a_batch_of_a_thousand_containers() -> None:
    stub = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
    results = fan_out(stub, shards=[{}] * 1000).get(timeout=200)
    assert [r["correlation_id"].rpartition(":")[2] for r in results] == [str(n) for n in range(1000)]
