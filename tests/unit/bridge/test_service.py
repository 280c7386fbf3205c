from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from dagy_queue.bridge import service
from dagy_queue.bridge.background import Background, Loop
from dagy_queue.bridge.service import Bridge, run_bridge
from dagy_queue.errors import AwsRefused, SettingsInvalid
from dagy_queue.ledger import Phase, RedisConnection, RunLedger
from dagy_queue.settings import Settings
from tests.unit.bridge.kit import QUEUE, FakeSqs, refusal
from tests.unit.bridge.waiting import until
from tests.unit.kit import body, settings_on, stopped_event
from tests.unit.ledger.kit import launched_run

SOON = 4.0


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Ends what a test lets hang."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch, released: threading.Event) -> FakeSqs:
    """A queue whose empty receives are long polls that nothing ends."""
    made = FakeSqs()

    def poll() -> None:
        if not any(message.hidden is None for message in made.queues[QUEUE]):
            released.wait(30)

    made.before["receive_message"] = poll
    monkeypatch.setattr(service, "AwsClients", lambda *_args, **_options: SimpleNamespace(sqs=made))
    return made


def settings(connection: RedisConnection, **bridge: Any) -> Settings:
    return settings_on(connection, bridge={"queue_url": QUEUE, **bridge}, records={"enabled": False})


def stopped_within(bridge: Bridge) -> float:
    begun = time.monotonic()
    bridge.stop()
    return time.monotonic() - begun


def test_events_are_applied_until_the_stop_which_no_open_poll_delays(sqs: FakeSqs, connection: RedisConnection) -> None:
    launched_run(connection, "run")
    sqs.put(body(stopped_event("run")))
    bridge = Bridge(settings(connection))
    bridge.start()
    until(lambda: RunLedger(connection).get("run").phase is Phase.STOPPED)
    until(lambda: sqs.calls["receive_message"] == 3)
    assert stopped_within(bridge) < SOON
    assert sqs.hidings == []


def test_what_is_stuck_in_hand_is_given_back_when_the_grace_is_over(
    sqs: FakeSqs, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    monkeypatch.setattr(RunLedger, "apply", lambda *_: released.wait(30))
    sqs.put(body(stopped_event("run")))
    bridge = Bridge(settings(connection, stop_grace=0.1))
    bridge.start()
    until(lambda: sqs.queues[QUEUE][0].hidden)
    assert stopped_within(bridge) < SOON
    assert sqs.hidings[0] == ("m0", 0)


def test_what_is_in_hand_may_finish_within_the_grace(
    sqs: FakeSqs, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched_run(connection, "run")
    real = RunLedger.apply
    entered, go_on = threading.Event(), threading.Event()

    def apply(*arguments: Any) -> Any:
        entered.set()
        go_on.wait(30)
        return real(*arguments)

    monkeypatch.setattr(RunLedger, "apply", apply)
    sqs.put(body(stopped_event("run")))
    bridge = Bridge(settings(connection, stop_grace=20))
    bridge.start()
    entered.wait(20)
    threading.Timer(1.2, go_on.set).start()
    assert stopped_within(bridge) < SOON
    assert (sqs.ids(), sqs.hidings) == ([], [])
    assert RunLedger(connection).get("run").phase is Phase.STOPPED


def test_services_are_started_with_the_bridge_and_stopped_last_first(sqs: FakeSqs, connection: RedisConnection) -> None:
    told: list[str] = []

    class Told:
        def __init__(self, name: str) -> None:
            self._name = name

        def start(self) -> None:
            told.append(f"start {self._name}")

        def stop(self) -> None:
            told.append(f"stop {self._name}")

    class Bare(Bridge):
        def _services(self) -> list[Background]:
            return [Told("one"), Told("two")]

    bridge = Bare(settings(connection))
    bridge.start()
    bridge.stop()
    assert told == ["start one", "start two", "stop two", "stop one"]


def test_a_loop_is_told_to_stop_and_waited_for_only_so_long(released: threading.Event) -> None:
    asked, ended = threading.Event(), threading.Event()

    def polite(told: threading.Event) -> None:
        told.wait()
        ended.set()

    loop = Loop("polite", polite, asked, stops_within=20)
    stuck = Loop("stuck", lambda _told: released.wait(30) and None, asked, stops_within=0.05)
    loop.start()
    stuck.start()
    asked.set()
    loop.stop()
    assert ended.is_set()
    stuck.stop()


def test_a_bridge_without_its_queue_does_not_start(sqs: FakeSqs, connection: RedisConnection) -> None:
    sqs.errors["get_queue_url"] = [refusal("AWS.SimpleQueueService.NonExistentQueue", "GetQueueUrl")]
    with pytest.raises(AwsRefused, match="GetQueueUrl"):
        Bridge(settings(connection, queue_url="")).start()


def test_a_bridge_whose_health_port_is_taken_starts_nothing(sqs: FakeSqs, connection: RedisConnection) -> None:
    port = int(connection.settings.url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(SettingsInvalid, match="HEALTH_PORT"):
        Bridge(settings(connection, health_port=port)).start()
    assert sqs.calls["receive_message"] == 0


def test_a_signal_stops_the_bridge(sqs: FakeSqs, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    told: list[str] = []
    monkeypatch.setattr(Bridge, "start", lambda _self: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr(Bridge, "stop", lambda _self: told.append("stopped"))
    try:
        run_bridge(settings(connection))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert told == ["stopped"]
