from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from dagy_queue.bridge.event_queue import EventQueue, Received
from dagy_queue.bridge.hand import Hand, keep_hidden
from dagy_queue.bridge.shared import Shared
from tests.unit.bridge.kit import QUEUE, THROTTLED, FakeSqs

HOURS = 3600.0
MESSAGES = [Received(message_id=f"m{n}", receipt=f"receipt/m{n}", body="") for n in range(2)]


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def sqs() -> FakeSqs:
    return FakeSqs()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shared() -> Shared:
    return Shared.fresh()


@pytest.fixture
def hand(sqs: FakeSqs, clock: Clock, shared: Shared) -> Hand:
    return Hand(EventQueue(sqs, QUEUE, wait_seconds=0, visibility_timeout=60), 60, shared.troubles, clock)


def test_messages_that_are_dealt_with_quickly_cost_no_call(hand: Hand, sqs: FakeSqs, clock: Clock) -> None:
    hand.take(MESSAGES)
    clock.seconds += 19
    hand.renew_if_due()
    hand.let_go()
    clock.seconds += 100
    hand.renew_if_due()
    assert sqs.hidings == []


def test_messages_that_take_long_stay_hidden(hand: Hand, sqs: FakeSqs, clock: Clock) -> None:
    hand.take(MESSAGES)
    for _ in range(30):
        clock.seconds += 10
        hand.renew_if_due()
    assert sqs.hidings == [("m0", 60), ("m1", 60)] * 15
    assert not hand.is_spent


def test_visibility_is_never_prolonged_beyond_twelve_hours(hand: Hand, sqs: FakeSqs, clock: Clock) -> None:
    hand.take(MESSAGES)
    begun = clock.seconds
    while clock.seconds < begun + 13 * HOURS:
        clock.seconds += 30
        hand.renew_if_due()
        assert all(clock.seconds - begun + seconds <= 12 * HOURS for _, seconds in sqs.hidings)
        sqs.hidings.clear()
    assert hand.is_spent


def test_the_end_of_the_twelve_hours_is_asked_for_exactly(hand: Hand, sqs: FakeSqs, clock: Clock) -> None:
    hand.take(MESSAGES[:1])
    clock.seconds += 12 * HOURS - 80
    hand.renew_if_due()
    assert sqs.hidings == [("m0", 20)]


def test_messages_are_given_back_once(hand: Hand, sqs: FakeSqs) -> None:
    hand.take(MESSAGES)
    assert hand.give_back() == 2
    assert hand.give_back() == 0
    assert sqs.hidings == [("m0", 0), ("m1", 0)]
    assert hand.is_empty


def test_a_call_that_fails_is_no_error(hand: Hand, sqs: FakeSqs, clock: Clock, shared: Shared) -> None:
    hand.take(MESSAGES)
    sqs.errors["change_message_visibility_batch"] = [THROTTLED]
    clock.seconds += 30
    hand.renew_if_due()
    assert list(shared.troubles.failing) == ["extend"]
    clock.seconds += 30
    hand.renew_if_due()
    assert sqs.hidings == [("m0", 60), ("m1", 60)]
    assert shared.troubles.failing == {}


def test_messages_that_are_not_in_hand_any_more_are_told(hand: Hand, sqs: FakeSqs, clock: Clock) -> None:
    hand.take(MESSAGES)
    sqs.partly["change_message_visibility_batch"] = [{"m1"}]
    clock.seconds += 30
    with capture_logs() as logs:
        hand.renew_if_due()
    assert [(line["event"], line["messages"]) for line in logs] == [("events_not_in_hand", 1)]


def test_the_heartbeat_looks_at_every_hand_until_the_grace_is_over(shared: Shared) -> None:
    looked: list[int] = []

    class Observed(Hand):
        def __init__(self, number: int) -> None:
            self._number = number

        def renew_if_due(self) -> None:
            looked.append(self._number)
            if len(looked) >= 4:
                shared.stop.over.set()

    thread = threading.Thread(target=keep_hidden, args=([Observed(0), Observed(1)], 1, shared.stop), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert looked == [0, 1, 0, 1]
