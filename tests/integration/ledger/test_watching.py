"""What the ledger tells monitors, on a real Redis."""

from __future__ import annotations

import pytest

from dagy_queue.ids import new_id, shard_id
from dagy_queue.ledger import BatchLedger, Continuation, Phase, RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger.runs import Observation
from dagy_queue.ledger.watching import START, WatchLedger
from tests.integration.ledger.batches_kit import expand, publish
from tests.unit.kit import TASK_ARN
from tests.unit.ledger.kit import launched_run, parked_run

FAILED = {"outcome": {"kind": "out_of_memory", "summary": "too small"}}
MESSAGE = Continuation("queue", '{"headers": {}}')


@pytest.fixture
def watch(connection: RedisConnection) -> WatchLedger:
    return WatchLedger(connection)


def told(watch: WatchLedger, after: str = START) -> list[tuple[str, str, str]]:
    return [(change.run_id, change.was, change.phase) for change in watch.read(after, 1000) if change.run_id]


def test_every_change_of_phase_is_told_with_the_phase_before(connection: RedisConnection, watch: WatchLedger) -> None:
    runs = RunLedger(connection)
    runs.publish("r", MESSAGE, push=True, about={})
    attempt_id = launched_run(connection, "r")
    for version, phase in enumerate((Phase.PROVISIONING, Phase.PENDING, Phase.RUNNING), 1):
        runs.apply([Observation(attempt_id=attempt_id, version=version, task_arn=TASK_ARN, phase=phase)])
    runs.complete(attempt_id, FAILED, TASK_ARN)
    runs.finish(attempt_id, RunStatus.FAILED)
    phases = ["QUEUED", "HELD", "SUBMITTING", "SUBMITTED", "PROVISIONING", "PENDING", "RUNNING", "STOPPED", "FAILED"]
    assert told(watch) == [("r", was, phase) for was, phase in zip(["", *phases], phases, strict=False)]
    (stopped,) = [change for change in watch.read(START, 100) if change.phase == Phase.STOPPED]
    assert stopped.kind == "out_of_memory"
    assert stopped.seconds is not None
    assert stopped.told_at == pytest.approx(connection.client.time()[0], abs=60)  # type: ignore[index]


def test_a_change_says_for_how_long_the_run_was_in_its_phase(connection: RedisConnection, watch: WatchLedger) -> None:
    parked_run(connection, "r")
    connection.client.hincrby("dagy:run:r", "at", -5000)
    RunLedger(connection).cancel("r", "no", FAILED)
    assert [change.seconds for change in watch.read(START, 100) if change.was == Phase.HELD] == [
        pytest.approx(5, abs=1)
    ]


def test_shards_that_are_entered_together_are_one_entry(connection: RedisConnection, watch: WatchLedger) -> None:
    batch_id = publish(BatchLedger(connection), 5)
    expand(BatchLedger(connection), batch_id, 5)
    entered = [change for change in watch.read(START, 100) if change.shards]
    assert [list(change.run_ids) for change in entered] == [[shard_id(batch_id, shard) for shard in range(5)]]
    assert all(change.has_entered for change in entered)


def test_what_changes_before_anybody_watches_is_told_as_well(connection: RedisConnection, watch: WatchLedger) -> None:
    parked_run(connection, "before")
    watch.open()
    parked_run(connection, "while")
    assert [run_id for run_id, *_ in told(watch)] == ["before", "while"]


def test_nothing_is_told_once_it_is_closed_until_it_is_opened(connection: RedisConnection, watch: WatchLedger) -> None:
    parked_run(connection, "before")
    watch.keep_place("5-0", "7-1")
    watch.close()
    parked_run(connection, "while")
    assert connection.client.keys("dagy:watched*") == ["dagy:watched:off"]
    watch.open()
    parked_run(connection, "after")
    assert [run_id for run_id, *_ in told(watch)] == ["after"]


def test_reading_goes_on_after_what_was_read(connection: RedisConnection, watch: WatchLedger) -> None:
    for number in range(5):
        parked_run(connection, f"r{number}")
    first = watch.read(START, 2)
    assert [run_id for run_id, *_ in told(watch, first[-1].entry_id)] == ["r2", "r3", "r4"]


def test_the_place_of_a_monitor_is_kept_for_the_next(watch: WatchLedger) -> None:
    assert watch.place() == (START, START)
    watch.keep_place("5-0", "7-1")
    assert watch.place() == ("5-0", "7-1")


def test_asking_again_is_an_entry_of_its_own(watch: WatchLedger) -> None:
    assert (watch.ask_again(), watch.ask_again()) == (True, False)
    assert [change.again for change in watch.read(START, 10)] == [True]


def test_a_run_is_read_with_what_it_hangs_on(connection: RedisConnection, watch: WatchLedger) -> None:
    parked_run(connection, "r")
    connection.client.hset("dagy:run:r", mapping={"parent": "before", "root": "first"})
    (run,) = watch.runs(["r", "gone"])
    assert (run.entry.run_id, run.entry.phase, run.pool) == ("r", Phase.HELD, "dagy|FARGATE")
    assert (run.parent_id, run.root_id, run.request["flow_name"]) == ("before", "first", "etl")
    assert watch.runs([]) == []


def test_a_shard_is_read_with_its_batch(connection: RedisConnection, watch: WatchLedger) -> None:
    batch_id = publish(BatchLedger(connection), 3)
    expand(BatchLedger(connection), batch_id, 3)
    first, second = watch.runs([shard_id(batch_id, 0), shard_id(batch_id, 1)])
    assert (first.entry.shard, second.entry.shard) == (0, 1)
    assert (first.parent_id, first.root_id, first.shards) == (batch_id, batch_id, 3)
    assert first.pool
    assert first.request["org_id"] == first.entry.org_id


def test_a_batch_is_read_with_its_counts(connection: RedisConnection, watch: WatchLedger) -> None:
    batch_id = publish(BatchLedger(connection), 3)
    expand(BatchLedger(connection), batch_id, 3)
    (batch,) = watch.batches([batch_id, new_id()])
    assert (batch.batch_id, batch.total, batch.counts) == (batch_id, 3, {Phase.HELD: 3})
    assert batch.ended_at is None
    BatchLedger(connection).end(batch_id)
    (batch,) = watch.batches([batch_id])
    assert batch.ended_at is not None
    assert watch.batches([]) == []


def test_the_stream_does_not_grow_for_ever(connection: RedisConnection, watch: WatchLedger) -> None:
    pipeline = connection.client.pipeline(transaction=False)
    for _ in range(60_000):
        pipeline.xadd("dagy:watched", {"run": "r", "moved": "HELD QUEUED 1 "})
    pipeline.execute()
    parked_run(connection, "r")
    assert connection.client.xlen("dagy:watched") <= 50_000 + 200


def test_tasks_in_flight_are_counted(connection: RedisConnection, watch: WatchLedger) -> None:
    launched_run(connection, "r")
    assert watch.tasks_in("dagy") == 1
    assert watch.tasks_in("another") == 0
