"""A batch of the night, the next morning: the ledger has it and the shards that failed, and none that succeeded."""

from __future__ import annotations

import pytest
from celery import states

from dagy_queue.errors import ResultExpired, RunFailed
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


def forget_results(world: World, batch: BatchHandle) -> None:
    backend = world.publisher.app.backend
    for shard in range(len(batch)):
        backend.forget(batch.shard(shard).run_id)


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
    assert f"shard 2 of batch {batch.batch_id} has ended, and neither the ledger nor the record has it" in answer.err
    assert f"`dagy-queue results {batch.batch_id}` has its result" in answer.err


def test_what_the_ledger_has_as_failed_is_tried_again_though_its_result_is_gone(
    world: World, batch: BatchHandle
) -> None:
    forget_results(world, batch)
    assert dagy_queue("results", batch.batch_id, "--failed").lines == ["1  FAILED  no luck"]
    assert dagy_queue("retry", batch.batch_id, "--failed", "--json").json["shards"] == 1
    assert len(batch.retry_failed()) == 1


def test_a_failed_shard_that_is_forgotten_too_is_not_tried_again_in_silence(world: World, batch: BatchHandle) -> None:
    world.forget(batch.shard(1).run_id)
    answer = dagy_queue("retry", batch.batch_id, "--failed")
    assert (answer.code, answer.out) == (5, "")
    assert f"the ledger has forgotten what shard 1 of batch {batch.batch_id} had to do" in answer.err
    assert "neither the ledger nor the record has one of them" in dagy_queue("explain", batch.batch_id).err


def test_a_shard_without_a_result_is_as_the_ledger_has_it(world: World, batch: BatchHandle) -> None:
    forget_results(world, batch)
    nobody_knows = [(0, None, False), (2, None, False)]  # some of the batch failed: perhaps these did, long ago
    by_index = {shard.index: shard for shard in batch.as_completed(timeout=10)}
    assert [(n, by_index[n].status, by_index[n].is_kept) for n in (0, 2)] == nobody_knows
    assert (by_index[1].status, by_index[1].error, by_index[1].outcome) == (
        *(RunStatus.FAILED, "no luck"),
        failed("no luck"),
    )
    with pytest.raises(ResultExpired, match="is over, and its result is not in the result backend any more"):
        batch.get()


def test_where_all_went_well_a_shard_that_is_forgotten_succeeded(world: World) -> None:
    batch = world.batch(2)
    for shard in (0, 1):
        world.end_shard(batch, shard, RunStatus.SUCCEEDED)
    world.forget(batch.shard(1).run_id)
    assert [(shard.status, shard.is_kept) for shard in batch.results()] == [(RunStatus.SUCCEEDED, False)] * 2
    assert [line.split()[1] for line in dagy_queue("results", batch.batch_id).lines] == ["-", "-"]


def test_a_batch_that_goes_on_may_have_forgotten_shards(world: World) -> None:
    batch = world.batch(3)
    world.end_shard(batch, 0, RunStatus.SUCCEEDED)
    world.forget(batch.shard(0).run_id)
    assert "shard 0 of batch" in dagy_queue("status", f"{batch.batch_id}:0").err
    assert dagy_queue("explain", batch.batch_id, "--json").json["shard"] == 1, "the first that the ledger has"
    assert [shard.is_kept for shard in batch.results()] == [False, True, True]


def test_a_shard_that_was_cancelled_tells_most_of_a_batch_of_which_none_failed(world: World) -> None:
    batch = world.batch(3)
    for shard, status in enumerate((RunStatus.SUCCEEDED, RunStatus.SUCCEEDED, RunStatus.CANCELLED)):
        world.end_shard(batch, shard, status, {"kind": "cancelled", "summary": "not wanted"})
    world.forget(batch.shard(0).run_id)
    explained = dagy_queue("explain", batch.batch_id, "--json").json
    assert (explained["shard"], explained["summary"]) == (2, "not wanted")


def test_a_batch_of_which_no_shard_is_left_says_so(world: World) -> None:
    batch = world.batch(1)
    world.end_shard(batch, 0, RunStatus.SUCCEEDED)
    world.forget(batch.shard(0).run_id)
    answer = dagy_queue("explain", batch.batch_id)
    assert (answer.code, answer.out) == (5, "")
    assert "to explain: neither the ledger nor the record has one of them any more" in answer.err
