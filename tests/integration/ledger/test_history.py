"""The history of runs in the ledger, on a real Redis."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dagy_queue.ids import new_id, shard_id
from dagy_queue.ledger import AdmissionLedger, BatchLedger, Continuation, Phase, RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger.history import HistoryLedger
from dagy_queue.ledger.leadership import Leadership
from dagy_queue.ledger.runs import Observation, Place
from dagy_queue.ledger.streams import OFF_SECONDS
from tests.integration.ledger.batches_kit import expand, publish
from tests.unit.kit import TASK_ARN
from tests.unit.ledger.kit import granted_run, launched_run, parked_run

SUCCEEDED = {"outcome": {"kind": "succeeded", "summary": "ok"}}
MESSAGE = Continuation("queue", "message")


@pytest.fixture
def history(connection: RedisConnection) -> HistoryLedger:
    return HistoryLedger(connection)


@pytest.fixture
def leader(history: HistoryLedger) -> Leadership:
    leader = history.leadership(60)
    assert leader.leads()
    return leader


def notes(connection: RedisConnection) -> list[tuple[str, str]]:
    return [(fields["run"], fields["phase"]) for _, fields in connection.client.xrange("dagy:history")]


def whole_life(connection: RedisConnection, run_id: str = "r", **completion: Any) -> None:
    runs = RunLedger(connection)
    runs.publish(run_id, MESSAGE, push=True, about={})
    attempt_id = launched_run(connection, run_id)
    for version, phase in enumerate((Phase.PROVISIONING, Phase.PENDING, Phase.RUNNING), 1):
        runs.apply([Observation(attempt_id=attempt_id, version=version, task_arn=TASK_ARN, phase=phase)])
    runs.complete(attempt_id, SUCCEEDED | completion, TASK_ARN)
    runs.finish(attempt_id, RunStatus.SUCCEEDED)


@pytest.mark.usefixtures("history")
def test_every_change_of_phase_is_noted_in_order(connection: RedisConnection) -> None:
    whole_life(connection)
    phases = ["QUEUED", "HELD", "SUBMITTING", "SUBMITTED", "PROVISIONING", "PENDING", "RUNNING", "STOPPED", "SUCCEEDED"]
    assert notes(connection) == [("r", phase) for phase in phases]


@pytest.mark.usefixtures("history")
def test_what_changes_nothing_is_not_noted(connection: RedisConnection) -> None:
    attempt_id = launched_run(connection, "r")
    before = notes(connection)
    observation = Observation(attempt_id=attempt_id, version=1, task_arn=TASK_ARN, phase=Phase.SUBMITTED)
    RunLedger(connection).apply([observation, observation])
    RunLedger(connection).publish("r", MESSAGE, push=True, about={})
    assert notes(connection) == before


@pytest.mark.usefixtures("history")
def test_retries_and_refused_launches_are_noted(connection: RedisConnection) -> None:
    grant = granted_run(connection, "r")
    admission, runs = AdmissionLedger(connection), RunLedger(connection)
    admission.release(grant.attempt_id, delay=0, new_attempt=False, give_up_after=60, reason="throttled")
    runs.complete(grant.attempt_id, SUCCEEDED)
    runs.retry(grant.attempt_id, 60)
    assert notes(connection)[1:] == [("r", p) for p in ("SUBMITTING", "HELD", "STOPPED", "RETRYING")]


@pytest.mark.usefixtures("history")
def test_the_shards_of_a_batch_are_noted_as_they_are_entered(connection: RedisConnection) -> None:
    batches = BatchLedger(connection)
    batch_id = publish(batches, 3)
    expand(batches, batch_id, 3)
    assert notes(connection) == [(shard_id(batch_id, i), "HELD") for i in range(3)]


def test_what_changes_before_the_first_recorder_is_noted(history: HistoryLedger, connection: RedisConnection) -> None:
    whole_life(connection, "before")
    history.open()
    parked_run(connection, "during")
    assert history.read(100).run_ids == ("before", "during")


def test_nothing_is_noted_once_the_history_is_dropped(history: HistoryLedger, connection: RedisConnection) -> None:
    whole_life(connection, "before")
    assert history.drop()
    whole_life(connection, "after")
    assert not connection.client.exists("dagy:history")


def test_a_history_that_some_recorder_reads_is_not_dropped(
    history: HistoryLedger, leader: Leadership, connection: RedisConnection
) -> None:
    whole_life(connection, "before")
    assert not history.drop()
    assert history.read(100).run_ids == ("before",)
    leader.resign()
    assert history.drop()


def test_a_history_that_nobody_drops_any_more_is_kept_again_after_minutes(
    history: HistoryLedger, connection: RedisConnection
) -> None:
    history.drop()
    assert 0 < int(connection.client.pttl("dagy:history:off")) <= OFF_SECONDS * 1000  # type: ignore[arg-type]
    connection.client.pexpire("dagy:history:off", 0)
    parked_run(connection, "r")
    assert history.read(100).run_ids == ("r",)


def test_one_recorder_leads_and_has_changes_noted(connection: RedisConnection) -> None:
    first, second = (HistoryLedger(connection).leadership(60) for _ in range(2))
    assert [first.leads(), first.leads(), second.leads()] == [True, True, False]
    parked_run(connection, "r")
    assert notes(connection) == [("r", "HELD")]
    second.resign()
    assert not second.leads()
    first.resign()
    assert second.leads()


def test_changes_are_noted_again_once_a_recorder_leads(history: HistoryLedger, connection: RedisConnection) -> None:
    history.drop()
    assert history.leadership(60).leads()
    parked_run(connection, "r")
    assert notes(connection) == [("r", "HELD")]


def test_a_lead_that_is_not_renewed_ends(history: HistoryLedger) -> None:
    assert history.leadership(0.005).leads()
    other, deadline = history.leadership(60), time.monotonic() + 10
    while not other.leads():
        assert time.monotonic() < deadline


def test_a_run_that_changed_often_is_read_once(history: HistoryLedger, connection: RedisConnection) -> None:
    whole_life(connection, "a")
    parked_run(connection, "b")
    changes = history.read(100)
    assert (changes.run_ids, changes.entries) == (("a", "b"), 10)


def test_what_is_done_is_gone_and_the_rest_stays(
    history: HistoryLedger, leader: Leadership, connection: RedisConnection
) -> None:
    for run_id in ("a", "b", "c"):
        parked_run(connection, run_id)
    first = history.read(2)
    assert first.run_ids == ("a", "b")
    assert history.read(2) == first
    parked_run(connection, "d")
    assert history.done(leader.owner, first)
    assert history.read(10).run_ids == ("c", "d")
    assert history.done(leader.owner, history.read(10))
    assert notes(connection) == []
    parked_run(connection, "e")
    assert history.read(10).run_ids == ("e",)


def test_who_lost_the_lead_drops_nothing_and_has_its_runs_noted_again(
    history: HistoryLedger, leader: Leadership, connection: RedisConnection
) -> None:
    whole_life(connection, "a")
    parked_run(connection, "b")
    changes = history.read(100)
    leader.resign()
    other = history.leadership(60)
    assert other.leads()
    assert not history.done(leader.owner, changes)
    assert history.done(other.owner, changes)
    assert history.read(100).run_ids == ("a", "b")


def test_waiting_ends_with_the_first_change(history: HistoryLedger, connection: RedisConnection) -> None:
    assert not history.wait(0.001)
    parked_run(connection, "a")
    assert history.wait(60)


def test_a_snapshot_is_the_run_as_it_is_now_with_its_request(
    history: HistoryLedger, connection: RedisConnection
) -> None:
    whole_life(connection)
    (snapshot,) = history.snapshots(["r"])
    assert snapshot.entry == RunLedger(connection).get("r")
    assert snapshot.entry.phase is Phase.SUCCEEDED
    assert snapshot.request == {"kind": "flow", "org_id": "acme", "flow_name": "etl", "correlation_id": "r"}


def test_a_run_that_is_only_published_has_no_request_yet(history: HistoryLedger, connection: RedisConnection) -> None:
    RunLedger(connection).publish("r", MESSAGE, push=True, about={"org": "acme", "flow": "etl"})
    (snapshot,) = history.snapshots(["r"])
    assert (snapshot.entry.org_id, snapshot.entry.flow_name, snapshot.request) == ("acme", "etl", {})


def test_shards_have_their_batchs_request_with_what_differs(
    history: HistoryLedger, connection: RedisConnection
) -> None:
    batches = BatchLedger(connection)
    batch_id = publish(batches, 2)
    expand(batches, batch_id, 2)
    parked_run(connection, "single")
    snapshots = history.snapshots([shard_id(batch_id, 1), "single", shard_id(batch_id, 0)])
    assert [(s.entry.shard, s.entry.org_id, s.entry.flow_name) for s in snapshots] == [
        (1, "acme", "f"),
        (None, "acme", "etl"),
        (0, "acme", "f"),
    ]
    assert snapshots[0].request["parameters"] == {"n": 1}
    assert snapshots[0].entry.correlation_id == "batch-7:1"


def test_what_the_ledger_has_forgotten_is_left_out(history: HistoryLedger, connection: RedisConnection) -> None:
    parked_run(connection, "b")
    assert [s.entry.run_id for s in history.snapshots(["a", "b"])] == ["b"]
    assert history.snapshots([]) == []


def test_a_key_that_is_no_run_s_is_left_out_and_stops_nobody(
    history: HistoryLedger, connection: RedisConnection
) -> None:
    parked_run(connection, "b")
    connection.client.set(connection.key("run", "a"), "no hash")
    assert [s.entry.run_id for s in history.snapshots(["a", "b"])] == ["b"]


def test_a_shard_outlives_its_batch(history: HistoryLedger, connection: RedisConnection) -> None:
    batches = BatchLedger(connection)
    batch_id = publish(batches, 1)
    expand(batches, batch_id, 1)
    connection.client.delete(f"dagy:batch:{batch_id}")
    (snapshot,) = history.snapshots([shard_id(batch_id, 0)])
    assert snapshot.entry.batch_id == batch_id


def test_a_run_knows_when_it_started_and_ended(connection: RedisConnection) -> None:
    runs = RunLedger(connection)
    attempt_id = launched_run(connection, "r")
    assert (runs.get("r").started_at, runs.get("r").ended_at) == (None, None)
    runs.apply([Observation(attempt_id=attempt_id, version=1, task_arn=TASK_ARN, phase=Phase.RUNNING)])
    started = runs.get("r").started_at
    assert started is not None
    assert abs(datetime.now(UTC) - started) < timedelta(minutes=1)
    runs.complete(attempt_id, SUCCEEDED | {"startedAt": "2020-01-01T00:00:00Z"}, TASK_ARN)
    runs.finish(attempt_id, RunStatus.SUCCEEDED)
    entry = runs.get("r")
    assert entry.started_at == started
    assert entry.ended_at is not None
    assert entry.ended_at >= started


def test_a_retry_keeps_when_the_run_first_started(connection: RedisConnection) -> None:
    runs = RunLedger(connection)
    attempt_id = launched_run(connection, "r")
    runs.apply([Observation(attempt_id=attempt_id, version=1, task_arn=TASK_ARN, phase=Phase.RUNNING)])
    started = runs.get("r").started_at
    runs.complete(attempt_id, SUCCEEDED, TASK_ARN)
    runs.retry(attempt_id, 0)
    assert runs.get("r").started_at == started


@pytest.mark.parametrize(
    ("told", "started"),
    [
        ("2026-01-01T00:00:20.5Z", datetime(2026, 1, 1, 0, 0, 20, 500_000, tzinfo=UTC)),
        ("yesterday", None),
        (7, None),
        (None, None),
    ],
)
def test_a_run_that_was_never_seen_running_started_when_ecs_says(
    connection: RedisConnection, told: Any, started: datetime | None
) -> None:
    runs = RunLedger(connection)
    attempt_id = launched_run(connection, "r")
    runs.complete(attempt_id, SUCCEEDED | ({} if told is None else {"startedAt": told}), TASK_ARN)
    assert runs.get("r").started_at == started


def test_a_live_run_and_its_history_stay_small(history: HistoryLedger, connection: RedisConnection) -> None:
    batches = BatchLedger(connection)
    batch_id = new_id()
    fields = {"request": json.dumps({"org_id": "acme", "flow_name": "f"}), "callback": "{}", "callback_id": "cb"}
    batches.publish(batch_id, MESSAGE, deltas=[{}] * 500, fields=fields | {"correlation": "c", "org": "acme"})
    batches.prepare(batch_id, MESSAGE, Place(pool="p", org="acme"))
    batches.enter_shards(batch_id, 0, [(shard_id(batch_id, i), {"parameters": {"n": i}}) for i in range(500)])
    usage = connection.client.memory_usage
    assert (usage("dagy:history", samples=0) or 0) / 500 < 100
    assert (usage(f"dagy:run:{shard_id(batch_id, 7)}") or 0) < 500
