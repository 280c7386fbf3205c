"""``dagy-queue logs --representative``: one container for the whole."""

from __future__ import annotations

import pytest

from dagy_queue.ledger import RunStatus
from tests.unit.operate.container_logs.kit import FakeLogs, stream, wrote
from tests.unit.operate.kit import World, dagy_queue, failed

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@pytest.mark.parametrize(
    ("ends", "shown", "is_good"),
    [
        ([(1, RunStatus.SUCCEEDED), (0, RunStatus.SUCCEEDED), (2, RunStatus.SUCCEEDED)], 2, True),
        ([(1, RunStatus.SUCCEEDED), (2, RunStatus.FAILED), (0, RunStatus.FAILED)], 2, False),
    ],
)
def test_one_container_stands_for_a_batch(
    world: World, logs: FakeLogs, ends: list[tuple[int, RunStatus]], shown: int, is_good: bool
) -> None:
    batch = world.batch(3)
    for shard, status in ends:
        world.end_shard(batch, shard, status, failed() if status is RunStatus.FAILED else None)
        wrote(logs, batch.shard(shard).run_id, f"of {shard}")
    answer = dagy_queue("logs", batch.batch_id, "--representative")
    text, other = (answer.out, answer.err) if is_good else (answer.err, answer.out)
    assert text.splitlines()[0] == f"=== {stream(batch.shard(shown).run_id)} ==="
    assert text.splitlines()[1].endswith(f"] of {shown}")
    assert other == ""


def test_one_that_had_not_finished_stands_for_a_batch_that_ran_out_of_time(world: World, logs: FakeLogs) -> None:
    batch = world.batch(2)
    batch.cancel("out of time")
    world.end_shard(batch, 0, RunStatus.SUCCEEDED)
    world.end_shard(batch, 1, RunStatus.CANCELLED)
    wrote(logs, batch.shard(1).run_id, "not done")
    assert dagy_queue("logs", batch.batch_id, "--representative").err.endswith("] not done\n")


def test_a_shard_that_is_known_stands_for_a_batch_whose_last_ones_are_forgotten(world: World, logs: FakeLogs) -> None:
    batch = world.batch(2)
    for shard in (0, 1):
        world.end_shard(batch, shard, RunStatus.SUCCEEDED)
        wrote(logs, batch.shard(shard).run_id, f"of {shard}")
    world.forget(batch.shard(1).run_id)
    assert dagy_queue("logs", batch.batch_id, "--representative").lines[1].endswith("] of 0")
    world.forget(batch.shard(0).run_id)
    assert "no container" in dagy_queue("logs", batch.batch_id, "--representative").err


def test_a_run_stands_for_itself(world: World, logs: FakeLogs) -> None:
    run_id = wrote(logs, world.ended(), "done")
    assert dagy_queue("logs", run_id, "--representative").lines[1].endswith("] done")
    assert "no container" in dagy_queue("logs", world.held(), "--representative").err
    assert dagy_queue("logs", "--representative").code == 2
