"""``list`` where the ledger and the record each have a part: in order, each run once, and without reading in vain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dagy_queue.ids import new_id
from dagy_queue.ledger import RedisConnection, RunStatus
from dagy_queue.ledger.history import HistoryLedger, Snapshot
from dagy_queue.operate import listing
from dagy_queue.producer import BatchHandle
from tests.unit.operate.kit import Records, World, dagy_queue, failed, listed, record

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

HOUR = timedelta(hours=1)


def recorded(world: World, records: Records, run_id: str, **values: Any) -> str:
    """Record a run of the ledger as it is."""
    entry = world.runs.get(run_id)
    told: dict[str, Any] = {"status": entry.status.value, "phase": entry.phase.value, "created_at": entry.created_at}
    told |= {"batch_id": entry.batch_id, "shard": entry.shard, "correlation_id": entry.correlation_id}
    records[run_id] = record(run_id, **told | values)
    return run_id


def recorded_batch(world: World, records: Records, shards: int, lost: tuple[int, ...] = ()) -> BatchHandle:
    """Record the shards of a batch that is over, and have the ledger forget those that succeeded."""
    batch = world.batch(shards)
    for shard in range(shards):
        world.end_shard(batch, shard, RunStatus.FAILED if shard in lost else RunStatus.SUCCEEDED, failed())
        recorded(world, records, batch.shard(shard).run_id)
        if shard not in lost:
            world.forget(batch.shard(shard).run_id)
    return batch


def commands(connection: RedisConnection) -> int:
    """Return how many Redis has answered."""
    stats: Any = connection.client.info("stats")
    return int(stats["total_commands_processed"])


def test_what_succeeded_and_is_forgotten_stands_among_what_failed(world: World, records: Records) -> None:
    ids = []
    for status in (RunStatus.FAILED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.SUCCEEDED):
        ids.append(recorded(world, records, world.ended(status, failed())))
        if status is RunStatus.SUCCEEDED:
            world.forget(ids[-1])
    assert listed("--org", "acme") == ids[::-1]
    assert listed("--org", "acme", "-n", "2") == [ids[3], ids[2]]
    assert listed("--org", "acme", "--correlation-id", ids[1]) == [ids[1]]
    assert listed() == [ids[2], ids[0]]


def test_what_is_launched_without_a_queue_may_be_the_newest(world: World, records: Records) -> None:
    held = world.held()
    records["direct"] = record("direct", created_at=datetime.now(UTC) + HOUR)
    assert listed("--org", "acme", "--limit", "1") == ["direct"]
    assert listed("--org", "acme") == ["direct", held]


def test_the_ledger_knows_better_what_the_record_has_as_well(world: World, records: Records) -> None:
    run_id = world.held()
    recorded(world, records, run_id, status="FAILED", phase="FAILED")
    assert [row["phase"] for row in dagy_queue("list", "--org", "acme", "--json").json] == ["HELD"]
    assert listed("--org", "acme", "--status", "FAILED") == []
    batch = world.batch(1)
    recorded(world, records, batch.shard(0).run_id, status="FAILED", phase="FAILED")
    assert listed("--org", "acme", "--batch", batch.batch_id, "--status", "FAILED,RUNNING") == []


@pytest.mark.parametrize("at_once", [1, 200])
def test_a_run_whose_record_is_newer_than_its_place_is_listed_once(
    world: World, records: Records, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(listing, "_AT_ONCE", at_once)
    first, last = world.held(), world.held()
    recorded(world, records, first, created_at=datetime.now(UTC) + HOUR)
    assert sorted(listed("--org", "acme")) == sorted([first, last])


def test_runs_of_a_correlation_id_are_listed_newest_first_too(world: World, records: Records) -> None:
    now = datetime.now(UTC)
    for name, hours in (("a", 3), ("b", 1), ("c", 2)):
        records[name] = record(name, created_at=now - hours * HOUR)
    live = world.held(correlation_id="old")
    assert listed("--org", "acme", "--correlation-id", "old") == [live, "b", "c", "a"]


def test_shards_are_left_out_before_the_row_of_their_batch_is_read(world: World, records: Records) -> None:
    older, batch = world.held(), recorded_batch(world, records, 3)
    records["old"] = record("old")
    newer = world.held()
    assert listed("--org", "acme") == [newer, batch.batch_id, older, "old"]


def test_shards_of_a_batch_that_has_no_row_are_listed(
    world: World, records: Records, connection: RedisConnection
) -> None:
    batch = recorded_batch(world, records, 2)
    ids = {batch.shard(n).run_id for n in range(2)}
    connection.client.delete(connection.key("batch", batch.batch_id))
    assert set(listed("--org", "acme")) == set(listed("--org", "acme", "--shards")) == ids
    other = recorded_batch(world, records, 1)
    connection.client.zrem(connection.key("publications"), f"batch:{other.batch_id}")
    assert set(listed("--org", "acme")) == {*ids, other.shard(0).run_id}


def test_shards_of_a_batch_from_before_the_time_asked_for_are_listed(world: World, records: Records) -> None:
    batch, run_id = world.batch(2), "later"
    records[run_id] = record(run_id, batch_id=batch.batch_id, shard=1, created_at=datetime.now(UTC) + 2 * HOUR)
    assert listed("--org", "acme", "--since", (datetime.now(UTC) + HOUR).isoformat()) == [run_id]


def test_shards_are_listed_in_order_whoever_has_them(world: World, records: Records) -> None:
    older, batch = world.held(), recorded_batch(world, records, 5, lost=(1, 3))
    ids = [batch.shard(n).run_id for n in range(5)]
    assert listed("--org", "acme", "--batch", batch.batch_id) == ids
    assert listed("--org", "acme", "--shards") == [*ids, older]
    assert listed("--org", "acme", "--shards", "--status", "SUCCEEDED") == [ids[0], ids[2], ids[4]]
    assert listed("--org", "acme", "--shards", "--correlation-id", f"{batch.batch_id}:2") == [ids[2]]
    assert listed("--batch", batch.batch_id) == listed("--shards", "--status", "FAILED") == [ids[1], ids[3]]


def test_a_shard_with_a_correlation_id_of_its_own_is_found(world: World, records: Records) -> None:
    batch = recorded_batch(world, records, 1)
    run_id = batch.shard(0).run_id
    records[run_id] = replace(records[run_id], correlation_id="own")
    assert listed("--org", "acme", "--shards", "--correlation-id", "own") == [run_id]
    assert listed("--org", "acme", "--batch", batch.batch_id, "--correlation-id", "own") == [run_id]


def test_the_record_is_read_no_further_than_rows_are_asked_for(world: World, records: Records) -> None:
    for n in range(10):
        records[f"old-{n}"] = record(f"old-{n}")
    live = [world.held() for _ in range(3)]
    assert listed("--org", "acme", "--limit", "2") == [live[2], live[1]]
    assert records.pages == 1
    assert listed("--org", "acme", "--limit", "3") == live[::-1]
    assert listed("--limit", "10") == live[::-1]
    assert records.pages == 2


def test_of_a_batch_that_has_a_row_the_record_reads_no_second_page(world: World, records: Records) -> None:
    batch = recorded_batch(world, records, 20)
    records["old"] = record("old")
    assert listed("--org", "acme") == [batch.batch_id, "old"]
    assert records.pages == 3


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_AT_ONCE", 10)


@pytest.mark.parametrize("arguments", [["--shards"], ["--shards", "--status", "SUCCEEDED"]])
def test_a_batch_whose_shards_are_all_forgotten_is_not_looked_through(
    world: World, records: Records, connection: RedisConnection, arguments: list[str]
) -> None:
    recorded_batch(world, records, 100)
    before = commands(connection)
    assert listed(*arguments) == []
    assert commands(connection) - before < 20


def test_shards_that_are_not_forgotten_so_far_are_listed_after_any_number_that_are(
    world: World, small_pages: None
) -> None:
    batch = world.batch(40)
    for shard in range(40):
        world.end_shard(batch, shard, RunStatus.SUCCEEDED)
        if shard != 39:
            world.forget(batch.shard(shard).run_id)
    assert listed("--batch", batch.batch_id) == [batch.shard(39).run_id]


def test_of_shards_that_are_forgotten_nothing_but_their_phase_is_read(
    world: World, records: Records, monkeypatch: pytest.MonkeyPatch, small_pages: None
) -> None:
    batch = recorded_batch(world, records, 30, lost=(12,))
    read: list[str] = []
    snapshots = HistoryLedger.snapshots

    def note(ledger: HistoryLedger, ids: Sequence[str]) -> list[Snapshot]:
        read.extend(ids)
        return snapshots(ledger, ids)

    monkeypatch.setattr(HistoryLedger, "snapshots", note)
    assert listed("--batch", batch.batch_id) == read == [batch.shard(12).run_id]


def test_a_batch_without_a_shard_of_the_status_asked_for_is_not_looked_through(
    world: World, records: Records, connection: RedisConnection
) -> None:
    batch = world.batch(100)
    before = commands(connection)
    for arguments in (["--shards"], ["--batch", batch.batch_id, "--org", "acme"]):
        assert listed(*arguments, "--status", "FAILED,RUNNING") == []
    assert commands(connection) - before < 40
    assert records.pages == 0
    assert len(listed("--batch", batch.batch_id, "--status", "QUEUED", "-n", "100")) == 100


def test_a_batch_that_the_ledger_never_had_is_the_records(world: World, records: Records) -> None:
    batch_id = new_id()
    for shard in (1, 0):
        records[f"s{shard}"] = record(f"s{shard}", batch_id=batch_id, shard=shard)
    assert listed("--org", "acme", "--batch", batch_id) == ["s0", "s1"]
