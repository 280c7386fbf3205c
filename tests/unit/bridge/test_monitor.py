from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from dagy_queue.bridge import monitor as module
from dagy_queue.bridge.monitor import Monitor, monitoring
from dagy_queue.bridge.run_metrics import RunMetrics
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger import RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger.leadership import Leadership
from dagy_queue.ledger.watching import START, WatchLedger
from tests.unit.bridge.waiting import until
from tests.unit.kit import settings_on
from tests.unit.ledger.kit import launched_run, parked_run


class Announced:
    """What an announcer was given. ``fails`` holds what its calls raise."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.calls: list[int] = []
        self.batches: list[str] = []
        self.entered: list[str] = []
        self.beats = 0
        self.listening = 1
        self.fails: list[Exception] = []

    def announce(self, run_ids: Sequence[str], batch_ids: Iterable[str], entered: Container[str] = ()) -> int:
        if self.fails:
            raise self.fails.pop(0)
        self.runs += run_ids
        self.batches += batch_ids
        self.entered += [run_id for run_id in run_ids if run_id in entered]
        self.calls.append(len(run_ids))
        return len(run_ids)

    def listeners(self) -> int:
        return self.listening

    def beat(self) -> None:
        self.beats += 1


class Scene:
    """A monitor that leads, and what it announced."""

    def __init__(self, connection: RedisConnection, rate: float = 10_000) -> None:
        self.connection = connection
        self.watch = WatchLedger(connection)
        self.announced = Announced()
        self.rate = rate
        self.monitor = self.another()
        assert self.monitor._leads()

    def another(self) -> Monitor:
        leadership = Leadership(self.connection, "monitor", 60)
        self.registry = CollectorRegistry()
        metrics = RunMetrics(self.registry)
        return Monitor(self.watch, metrics, self.announced, self.rate, leadership)  # type: ignore[arg-type]

    def turn(self, monitor: Monitor | None = None) -> int:
        return (monitor or self.monitor).turn(threading.Event())

    def ended(self) -> float:
        return self.registry.get_sample_value("dagy_runs_ended_total", {"status": "SUCCEEDED"}) or 0.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COLLECTS", 0.01)
    monkeypatch.setattr(module, "_IDLE_WAIT", 0.05)
    monkeypatch.setattr(module, "_AFTER_FAILURE", 0.01)
    monkeypatch.setattr(module, "_BEFORE_AGAIN", 0.0)
    monkeypatch.setattr(module, "_LOOKS_FOR_LISTENERS", 0.0)


@pytest.fixture
def scene(connection: RedisConnection) -> Scene:
    return Scene(connection)


@pytest.fixture
def start(scene: Scene) -> Iterator[Callable[[], threading.Event]]:
    """Run the scene's monitor in a thread; the event stops it."""
    running: list[tuple[threading.Thread, threading.Event]] = []

    def begin() -> threading.Event:
        stopping = threading.Event()
        thread = threading.Thread(target=scene.monitor.run, args=(stopping,), daemon=True)
        thread.start()
        running.append((thread, stopping))
        return stopping

    yield begin
    for thread, stopping in running:
        stopping.set()
        thread.join(5)
        assert not thread.is_alive()


def ended_run(connection: RedisConnection, run_id: str) -> None:
    attempt_id = launched_run(connection, run_id)
    runs = RunLedger(connection)
    runs.complete(attempt_id, {"outcome": {"kind": "succeeded", "summary": "ok"}})
    runs.finish(attempt_id, RunStatus.SUCCEEDED)


def test_a_run_that_changed_often_is_announced_once(scene: Scene) -> None:
    ended_run(scene.connection, "a")
    ended_run(scene.connection, "b")
    scene.turn()
    assert sorted(scene.announced.runs) == ["a", "b"]
    assert sorted(scene.announced.entered) == ["a", "b"]


def test_never_more_is_announced_than_the_rate_allows(connection: RedisConnection) -> None:
    scene = Scene(connection, rate=200)
    for number in range(10):
        parked_run(connection, f"r{number}")
    turns = 0
    while len(scene.announced.runs) < 10:
        scene.turn()
        turns += 1
    assert max(scene.announced.calls) == 2
    assert turns == 5


def test_what_changes_while_it_waits_its_turn_is_not_announced_twice(connection: RedisConnection) -> None:
    scene = Scene(connection, rate=100)
    parked_run(connection, "first")
    ended_run(connection, "second")
    scene.turn()
    assert scene.announced.runs == ["first"]
    ended_run(connection, "third")
    while scene.monitor._has_work:
        scene.turn()
    assert scene.announced.runs == ["first", "second", "third"]


def test_another_bridge_goes_on_where_the_first_was(scene: Scene) -> None:
    ended_run(scene.connection, "a")
    scene.turn()
    scene.monitor._resign()
    ended_run(scene.connection, "b")
    second = scene.another()
    assert second._leads()
    scene.turn(second)
    assert scene.announced.runs == ["a", "b"]
    assert scene.ended() == 1, "the first was counted by the first"


def test_a_bridge_that_takes_over_announces_what_waited_and_counts_nothing_twice(connection: RedisConnection) -> None:
    scene = Scene(connection, rate=100)
    for run_id in "abc":
        ended_run(connection, run_id)
    scene.turn()
    assert scene.announced.runs == ["a"]
    assert scene.ended() == 3
    connection.client.delete("dagy:lead:monitor")
    second = scene.another()
    assert second._leads()
    while scene.turn(second) or second._has_work:
        pass
    assert scene.announced.runs == ["a", "a", "b", "c"]
    assert scene.ended() == 0, "the first bridge has counted them"


def test_only_one_monitor_leads(scene: Scene) -> None:
    assert not scene.another()._leads()


def test_whoever_begins_to_listen_is_told_everything_again_and_nothing_is_counted_twice(scene: Scene) -> None:
    ended_run(scene.connection, "a")
    ended_run(scene.connection, "b")
    scene.turn()
    assert scene.watch.ask_again()
    assert not scene.watch.ask_again(), "several who ask together count as one"
    until(lambda: scene.turn() and len(scene.announced.runs) == 4)
    assert sorted(scene.announced.runs) == ["a", "a", "b", "b"]
    assert scene.ended() == 2


def test_whoever_asks_after_everything_was_told_again_is_told_it_anew(scene: Scene) -> None:
    """A Flower that is restarted at once takes the place of the one before: nobody sees that another one listens."""
    ended_run(scene.connection, "a")
    scene.turn()
    assert scene.watch.ask_again()
    scene.announced.listening = 2
    until(lambda: scene.turn() and len(scene.announced.runs) == 2)
    ended_run(scene.connection, "b")
    until(lambda: scene.turn() and scene.announced.runs[-1] == "b")
    assert scene.watch.ask_again()
    until(lambda: scene.turn() and len(scene.announced.runs) == 5)
    assert sorted(scene.announced.runs) == ["a", "a", "a", "b", "b"]


def test_a_batch_is_announced_with_the_shards_that_it_entered(scene: Scene) -> None:
    client = scene.connection.client
    client.xadd("dagy:watched", {"batch": "7c344a14-7852-46c8-95b8-f1c3ee1e73fb", "first": 2, "count": 3})
    scene.turn()
    assert scene.announced.batches == ["7c344a14-7852-46c8-95b8-f1c3ee1e73fb"]
    assert len(scene.announced.entered) == 3


def test_what_could_not_be_announced_is_announced_later(scene: Scene, start: Callable[[], threading.Event]) -> None:
    scene.announced.fails = [RedisUnavailable("away"), RedisUnavailable("away"), ValueError("a defect")]
    with capture_logs() as logs:
        start()
        parked_run(scene.connection, "a")
        until(lambda: scene.announced.runs == ["a"])
        until(lambda: any(line["event"] == "monitoring_again" for line in logs))
    told = [line["event"] for line in logs if line["event"].startswith("monitor")]
    assert told.count("monitoring_failed") == 1
    assert "monitor_crashed" in told


def test_the_cluster_beats_while_a_monitor_works(scene: Scene) -> None:
    scene.turn()
    scene.turn()
    assert scene.announced.beats == 1


def test_while_nobody_listens_runs_are_counted_and_not_announced(scene: Scene) -> None:
    scene.announced.listening = 0
    ended_run(scene.connection, "a")
    scene.turn()
    assert scene.announced.calls == []
    assert scene.ended() == 1


def test_whoever_listens_at_last_is_told_what_was_before(scene: Scene) -> None:
    scene.announced.listening = 0
    ended_run(scene.connection, "a")
    scene.turn()
    ended_run(scene.connection, "b")
    scene.announced.listening = 1
    until(lambda: scene.turn() == 2)
    assert sorted(scene.announced.runs) == ["a", "b"]
    assert scene.ended() == 2
    assert scene.turn() == 0, "and told once"


def test_a_second_listener_is_told_everything_although_nobody_asked(scene: Scene) -> None:
    ended_run(scene.connection, "a")
    scene.turn()
    scene.announced.listening = 2
    until(lambda: scene.turn() == 1)
    assert scene.announced.runs == ["a", "a"]
    scene.announced.listening = 1
    assert scene.turn() == 0, "one that goes away asks for nothing"


def test_when_the_last_listener_has_gone_nothing_waits_to_be_announced(connection: RedisConnection) -> None:
    scene = Scene(connection, rate=100)
    for run_id in "abc":
        ended_run(connection, run_id)
    scene.turn()
    scene.announced.listening = 0
    scene.turn()
    assert len(scene.announced.runs) == 1
    assert not scene.monitor._has_work


def test_without_metrics_and_listeners_the_stream_is_not_even_read(scene: Scene) -> None:
    scene.announced.listening = 0
    idle = Monitor(scene.watch, None, scene.announced, 100, Leadership(scene.connection, "idle", 60))  # type: ignore[arg-type]
    assert idle._leads()
    ended_run(scene.connection, "a")
    scene.turn(idle)
    assert idle._read == START
    scene.announced.listening = 1
    until(lambda: scene.turn(idle) == 1)


def test_what_changed_before_the_first_monitor_is_announced(scene: Scene) -> None:
    parked_run(scene.connection, "a")
    scene.turn()
    assert scene.announced.runs == ["a"]


def test_a_stream_that_redis_has_lost_is_opened_again(scene: Scene) -> None:
    scene.turn()
    scene.connection.client.flushdb()
    scene.turn()
    parked_run(scene.connection, "a")
    scene.turn()
    assert scene.announced.runs == ["a"]


def test_where_nobody_monitors_nothing_is_told(connection: RedisConnection) -> None:
    parked_run(connection, "a")
    off, stopping = settings_on(connection, monitor={"events": False}), threading.Event()
    loop = monitoring(off, connection, RunMetrics(CollectorRegistry()))
    thread = threading.Thread(target=loop, args=(stopping,), daemon=True)
    thread.start()
    until(lambda: not connection.client.exists("dagy:watched"))
    parked_run(connection, "b")
    assert not connection.client.exists("dagy:watched")
    stopping.set()
    thread.join(5)
    assert not thread.is_alive()


def test_metrics_alone_need_no_announcer(connection: RedisConnection) -> None:
    config = settings_on(connection, monitor={"events": False}, bridge={"health_port": 0})
    registry = CollectorRegistry()
    loop = monitoring(config, connection, RunMetrics(registry))
    stopping = threading.Event()
    thread = threading.Thread(target=loop, args=(stopping,), daemon=True)
    thread.start()
    ended_run(connection, "a")
    until(lambda: registry.get_sample_value("dagy_runs_ended_total", {"status": "SUCCEEDED"}) == 1)
    assert registry.get_sample_value("dagy_monitor_events_total") == 0
    stopping.set()
    thread.join(5)
    assert not thread.is_alive()
