from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from dagy_queue.bridge import recorder as module
from dagy_queue.bridge.recorder import BATCH, Recorder, recording
from dagy_queue.errors import AwsError, AwsRefused, AwsThrottled, AwsUnavailable, RedisUnavailable
from dagy_queue.ledger import Phase, RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger.history import HistoryLedger
from dagy_queue.ledger.leadership import RECORDER, Leadership, held
from dagy_queue.records.runs import RunRecord
from dagy_queue.settings import RecordsSettings, RedisSettings, Settings
from tests.unit.bridge.waiting import until
from tests.unit.kit import settings_on
from tests.unit.ledger.kit import granted_run, launched_run, parked_run

SETTINGS = RecordsSettings(linger=0)


class Table:
    """DynamoDB's table of runs in memory. ``fails`` holds what calls raise; items in ``refused`` it never takes."""

    def __init__(self) -> None:
        self.items: dict[str, RunRecord] = {}
        self.calls: list[int] = []
        self.fails: list[Exception] = []
        self.refused: set[str] = set()
        self.refusal = "no"

    def write(self, records: list[RunRecord]) -> None:
        self.calls.append(len(records))
        if self.fails:
            raise self.fails.pop(0)
        if self.refused & {record.run_id for record in records}:
            raise AwsRefused(self.refusal, code="ValidationException")
        self.items |= {record.run_id: record for record in records}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    table = Table()
    monkeypatch.setattr(module, "write_runs", table.write)
    monkeypatch.setattr(module, "put_run", lambda record: table.write([record]))
    monkeypatch.setattr(module, "_FIRST_BACKOFF", 0.001)
    monkeypatch.setattr(module, "_IDLE_WAIT", 0.05)
    return table


@pytest.fixture
def history(connection: RedisConnection) -> HistoryLedger:
    return HistoryLedger(connection)


@pytest.fixture
def one(history: HistoryLedger) -> Recorder:
    """A recorder that leads."""
    recorder = Recorder(history, SETTINGS)
    assert recorder._leadership.leads()
    return recorder


@pytest.fixture
def start(history: HistoryLedger) -> Iterator[Callable[[], threading.Event]]:
    """Run recorders in threads; the event that each gets stops it."""
    running: list[tuple[threading.Thread, threading.Event]] = []

    def begin() -> threading.Event:
        stopping = threading.Event()
        thread = threading.Thread(target=Recorder(history, SETTINGS).run, args=(stopping,), daemon=True)
        thread.start()
        running.append((thread, stopping))
        until(lambda: held(history.connection, RECORDER))
        return stopping

    yield begin
    for thread, stopping in running:
        stopping.set()
        thread.join(10)
        assert not thread.is_alive()


def finished(connection: RedisConnection, run_id: str) -> None:
    attempt_id = launched_run(connection, run_id)
    runs = RunLedger(connection)
    runs.complete(attempt_id, {"outcome": {"kind": "failed", "summary": "no luck"}})
    runs.finish(attempt_id, RunStatus.FAILED)


def entries(connection: RedisConnection) -> int:
    return int(connection.client.xlen("dagy:history"))


def test_what_changed_is_written_as_it_is_now_and_dropped(
    one: Recorder, table: Table, connection: RedisConnection
) -> None:
    finished(connection, "a")
    parked_run(connection, "b")
    assert one.turn() == 6
    assert table.calls == [2]
    assert (table.items["a"].status, table.items["a"].error_message) == ("FAILED", "no luck")
    assert table.items["b"].phase == Phase.HELD
    assert entries(connection) == 0
    assert one.turn() == 0


def test_a_turn_takes_so_many_entries_and_no_more(one: Recorder, table: Table, connection: RedisConnection) -> None:
    for number in range(BATCH + 1):
        parked_run(connection, str(number))
    assert [one.turn(), one.turn(), one.turn()] == [BATCH, 1, 0]
    assert len(table.items) == BATCH + 1


def test_what_could_not_be_written_stays(one: Recorder, table: Table, connection: RedisConnection) -> None:
    parked_run(connection, "a")
    table.fails = [AwsUnavailable("gone")]
    with pytest.raises(AwsUnavailable):
        one.turn()
    assert entries(connection) == 1
    assert one.turn() == 1
    assert "a" in table.items


def test_a_run_that_dynamodb_cannot_take_does_not_hold_up_the_others(
    one: Recorder, table: Table, connection: RedisConnection
) -> None:
    for run_id in ("a", "poison", "b"):
        parked_run(connection, run_id)
    table.refused = {"poison"}
    with capture_logs() as logs:
        one.turn()
    assert set(table.items) == {"a", "b"}
    assert entries(connection) == 0
    assert [entry["run_id"] for entry in logs if entry["event"] == "run_not_recorded"] == ["poison"]


def test_a_value_that_cannot_be_serialized_is_such_a_run(
    one: Recorder, table: Table, connection: RedisConnection
) -> None:
    parked_run(connection, "a")
    table.fails = [TypeError("not JSON")]
    one.turn()
    assert "a" in table.items


def test_a_table_that_takes_nothing_loses_nothing(one: Recorder, table: Table, connection: RedisConnection) -> None:
    for run_id in ("a", "b"):
        parked_run(connection, run_id)
    table.refused = {"a", "b"}
    with pytest.raises(AwsRefused):
        one.turn()
    assert entries(connection) == 2


def test_runs_that_are_all_too_large_do_not_hold_up_what_comes_after(
    one: Recorder, table: Table, connection: RedisConnection
) -> None:
    for run_id in ("a", "b"):
        parked_run(connection, run_id)
    table.refused, table.refusal = {"a", "b"}, "Item size has exceeded the maximum allowed size"
    one.turn()
    parked_run(connection, "c")
    one.turn()
    assert set(table.items) == {"c"}
    assert entries(connection) == 0


def test_runs_that_left_the_ledger_are_logged_and_dropped(
    one: Recorder, table: Table, connection: RedisConnection
) -> None:
    parked_run(connection, "a")
    connection.client.delete("dagy:run:a")
    with capture_logs() as logs:
        one.turn()
    assert [(entry["event"], entry["runs"]) for entry in logs] == [("runs_not_recorded", 1)]
    assert entries(connection) == 0


def test_changes_are_recorded_as_they_come(
    start: Callable[[], threading.Event], table: Table, connection: RedisConnection
) -> None:
    start()
    finished(connection, "a")
    until(lambda: "a" in table.items and table.items["a"].status == "FAILED")
    finished(connection, "b")
    until(lambda: "b" in table.items and table.items["b"].status == "FAILED")
    until(lambda: entries(connection) == 0)


@pytest.mark.parametrize(
    "error",
    [
        AwsThrottled("slow"),
        AwsUnavailable("away"),
        AwsRefused("denied", code="AccessDeniedException"),
        RedisUnavailable("x"),
        KeyError("a defect"),
    ],
)
def test_failures_are_repeated_logged_once_and_lose_nothing(
    start: Callable[[], threading.Event], table: Table, connection: RedisConnection, error: Exception
) -> None:
    table.fails = [error] * 4
    with capture_logs() as logs:
        start()
        finished(connection, "a")
        until(lambda: "a" in table.items and entries(connection) == 0)
        until(lambda: any(entry["event"] == "recording_again" for entry in logs))
    assert [entry["event"] for entry in logs] == ["recording_failed", "recording_again"]


def test_each_kind_of_failure_is_logged(one: Recorder) -> None:
    kinds: list[AwsError] = [AwsThrottled("a"), AwsThrottled("b"), AwsUnavailable("c"), AwsThrottled("d")]
    with capture_logs() as logs:
        for error in kinds:
            one._failed(error)
    assert [entry["error"] for entry in logs] == ["a", "c", "d"]


def test_a_missing_table_is_named_with_what_to_do(one: Recorder) -> None:
    with capture_logs() as logs:
        one._failed(AwsRefused("not found", code="ResourceNotFoundException"))
    assert "no table 'DAGY_RUNS': create it (partition key run_id, a string)" in logs[0]["error"]


def test_runs_go_on_while_nothing_can_be_recorded(
    start: Callable[[], threading.Event], table: Table, connection: RedisConnection
) -> None:
    table.fails = [AwsRefused("not found", code="ResourceNotFoundException")] * 1_000_000
    start()
    finished(connection, "a")
    until(lambda: table.calls)
    assert RunLedger(connection).get("a").status is RunStatus.FAILED
    granted_run(connection, "b")
    table.fails = []
    until(lambda: set(table.items) == {"a", "b"})


def test_another_recorder_takes_over(
    start: Callable[[], threading.Event], table: Table, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE_SECONDS", 0.2)
    first = start()
    start()
    finished(connection, "a")
    until(lambda: "a" in table.items)
    first.set()
    finished(connection, "b")
    until(lambda: "b" in table.items)


def test_only_one_of_several_recorders_leads(one: Recorder, history: HistoryLedger) -> None:
    other = Recorder(history, SETTINGS)
    assert not other._leadership.leads()
    one._resign()
    assert other._leadership.leads()


def test_who_lost_the_lease_asks_for_it_again(
    one: Recorder, table: Table, history: HistoryLedger, connection: RedisConnection
) -> None:
    parked_run(connection, "a")
    one._leadership.resign()
    assert history.leadership(60).leads()
    one._leadership._renew_at = float("inf")  # it does not know
    one.turn()
    assert not one._leadership.leads()
    assert entries(connection) == 2


def test_an_idle_recorder_asks_redis_rarely(
    start: Callable[[], threading.Event], connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE_WAIT", 2.0)
    start()
    until(lambda: connection.client.info("clients")["blocked_clients"] == 1)
    before = connection.client.info("stats")["total_commands_processed"]
    finished_at = time.monotonic() + 0.3
    until(lambda: time.monotonic() > finished_at)
    assert connection.client.info("stats")["total_commands_processed"] - before < 5


def started(settings: Settings, connection: RedisConnection, stopping: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=recording(settings, connection), args=(stopping,), daemon=True)
    thread.start()
    return thread


def test_a_recorder_that_is_switched_off_forgets_the_history(connection: RedisConnection) -> None:
    parked_run(connection, "a")
    stopping = threading.Event()
    thread = started(settings_on(connection, records={"enabled": False}), connection, stopping)
    until(lambda: not connection.client.exists("dagy:history"))
    parked_run(connection, "b")
    assert not connection.client.exists("dagy:history")
    stopping.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_recorder_keeps_its_lead_while_it_waits_after_a_failure(
    start: Callable[[], threading.Event], table: Table, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_BACKOFF", 3600.0)
    asked: list[bool] = []
    leads = Leadership.leads
    table.fails = [AwsUnavailable("gone")]
    start()
    parked_run(connection, "a")
    until(lambda: not table.fails)
    monkeypatch.setattr(module, "LEASE_SECONDS", 0.003)
    monkeypatch.setattr(Leadership, "leads", lambda self: asked.append(leads(self)) or asked[-1])
    until(lambda: asked.count(True) > 3)


def test_a_recorder_stops_soon_also_without_redis() -> None:
    nowhere = RedisConnection(RedisSettings(url="redis://127.0.0.1:1/0", socket_timeout=1))
    for enabled in (True, False):
        stopping = threading.Event()
        thread = started(settings_on(nowhere, records={"enabled": enabled}), nowhere, stopping)
        stopping.set()
        thread.join(10)
        assert not thread.is_alive()


def test_a_run_whose_record_cannot_be_made_holds_up_no_other(
    one: Recorder, table: Table, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = module.record_of

    def fails_on_one(snapshot: Any, ecs: Any) -> RunRecord:
        if snapshot.entry.run_id == "odd":
            raise ValueError("a defect")
        return make(snapshot, ecs)

    monkeypatch.setattr(module, "record_of", fails_on_one)
    for run_id in ("odd", "even"):
        parked_run(connection, run_id)
    with capture_logs() as logs:
        assert one.turn() == 2
    assert list(table.items) == ["even"]
    assert [line["run_id"] for line in logs if line["event"] == "run_not_recorded"] == ["odd"]
    assert one.turn() == 0, "what is recorded is dropped"
