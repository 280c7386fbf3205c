"""A batch of the night, the next morning: the ledger has it and the shards that failed, and none that succeeded."""

from __future__ import annotations

import pytest
from celery import states

from dagy_queue.errors import RunFailed
from dagy_queue.ledger import RunStatus
from dagy_queue.producer import BatchHandle
from tests.unit.operate.kit import World, dagy_queue, failed, listed

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@pytest.fixture
def batch(world: World) -> BatchHandle:
    batch, backend = world.batch(3), world.publisher.app.backend
    for shard in (0, 2):
        run_id = batch.shard(shard).run_id
        backend.store_result(run_id, {"n": shard}, states.SUCCESS)
        world.end_shard(batch, shard, RunStatus.SUCCEEDED)
        world.forget(run_id)
    backend.store_result(batch.shard(1).run_id, RunFailed("no luck", failed("no luck")), states.FAILURE)
    world.end_shard(batch, 1, RunStatus.FAILED, failed("no luck"))
    assert world.batches.end(batch.batch_id)
    return batch


def test_its_status_is_known(batch: BatchHandle) -> None:
    found = dagy_queue("status", batch.batch_id, "--json").json
    assert (found["status"], found["counts"]) == ("FAILED", {"FAILED": 1, "SUCCEEDED": 2})
    assert batch.progress().is_over


def test_its_results_are_read(batch: BatchHandle) -> None:
    values = [(shard.index, shard.status, shard.value) for shard in batch.results()]
    succeeded, lost = RunStatus.SUCCEEDED, RunStatus.FAILED
    assert values == [(0, succeeded, {"n": 0}), (1, lost, None), (2, succeeded, {"n": 2})]
    assert sorted(shard.index for shard in batch.as_completed(timeout=10)) == [0, 1, 2]
    assert dagy_queue("results", batch.batch_id, "--failed").lines == ["1  FAILED  no luck"]


def test_what_failed_is_explained_and_tried_again(world: World, batch: BatchHandle) -> None:
    assert "no luck" in dagy_queue("explain", batch.batch_id).out
    again = dagy_queue("retry", batch.batch_id, "--failed", "--json").json
    assert (again["shards"], again["retry_of"]) == (1, batch.batch_id)
    assert world.batches.get(again["id"]).correlation_id
    assert listed("--batch", batch.batch_id) == [batch.shard(1).run_id]


def test_a_shard_that_is_forgotten_is_said_to_be(batch: BatchHandle) -> None:
    answer = dagy_queue("status", f"{batch.batch_id}:2")
    assert (answer.code, answer.out) == (5, "")
    assert f"shard 2 of batch {batch.batch_id} is forgotten: it has succeeded" in answer.err


def test_a_batch_of_which_no_shard_is_left_says_so(world: World) -> None:
    batch = world.batch(1)
    world.end_shard(batch, 0, RunStatus.SUCCEEDED)
    world.forget(batch.shard(0).run_id)
    answer = dagy_queue("explain", batch.batch_id)
    assert (answer.code, answer.out) == (5, "")
    assert "to explain: its shards have succeeded" in answer.err
