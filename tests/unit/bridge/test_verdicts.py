from __future__ import annotations

import pytest

from dagy_queue.bridge.event_queue import Received
from dagy_queue.bridge.events import EventInvalid, read_event
from dagy_queue.bridge.verdicts import Fate, Refused, Rules, verdict_on_event, verdict_on_unreadable
from dagy_queue.ledger.runs import Applied
from tests.unit.kit import body, event, stopped_event

RULES = Rules(max_receives=5, finished_ttl=3600, container_name="worker")
STOPPED_AT = 1_767_225_660.0
"""The stoppedAt of the tests' events."""
STOPPED = read_event(body(stopped_event()), "worker")
RUNNING = read_event(body(event()), "worker")


def message(receives: int, sent_at: float = STOPPED_AT) -> Received:
    return Received(message_id="m", receipt="r", body="", receives=receives, sent_at=sent_at)


@pytest.mark.parametrize("answer", [Applied.APPLIED, Applied.RESUMED, Applied.STALE])
def test_what_the_ledger_has_seen_is_done_with(answer: Applied) -> None:
    assert verdict_on_event(message(9), STOPPED, answer, RULES, STOPPED_AT).fate is Fate.DONE


@pytest.mark.parametrize(
    ("receives", "fate"), [(1, Fate.AGAIN), (4, Fate.AGAIN), (5, Fate.QUARANTINE), (9, Fate.QUARANTINE)]
)
def test_what_cannot_be_applied_has_its_tries(receives: int, fate: Fate) -> None:
    assert verdict_on_unreadable(message(receives), EventInvalid("odd"), RULES).fate is fate
    assert verdict_on_event(message(receives), STOPPED, Refused("odd"), RULES, STOPPED_AT).fate is fate
    assert verdict_on_event(message(receives), STOPPED, Applied.UNKNOWN, RULES, STOPPED_AT).fate is fate


@pytest.mark.parametrize(("age", "fate"), [(0, Fate.QUARANTINE), (3600, Fate.QUARANTINE), (3601, Fate.DONE)])
def test_an_unknown_end_counts_while_the_ledger_would_keep_its_run(age: float, fate: Fate) -> None:
    assert verdict_on_event(message(5), STOPPED, Applied.UNKNOWN, RULES, STOPPED_AT + age).fate is fate


def test_an_unknown_run_that_goes_on_is_no_matter() -> None:
    assert verdict_on_event(message(1), RUNNING, Applied.UNKNOWN, RULES, STOPPED_AT).fate is Fate.DONE


def test_an_end_without_a_time_is_as_old_as_its_event_and_then_as_its_message() -> None:
    told = stopped_event(stoppedAt=None)
    by_event = read_event(body(told | {"time": "2026-01-01T00:00:00Z"}), "worker")
    by_message = read_event(body(told | {"time": None}), "worker")
    now = STOPPED_AT + 3600
    assert verdict_on_event(message(5), by_event, Applied.UNKNOWN, RULES, now).fate is Fate.DONE
    assert verdict_on_event(message(5), by_message, Applied.UNKNOWN, RULES, now).fate is Fate.QUARANTINE
    assert verdict_on_event(message(5, 0.0), by_message, Applied.UNKNOWN, RULES, now).fate is Fate.QUARANTINE


def test_reasons_are_in_words() -> None:
    assert verdict_on_unreadable(message(5), EventInvalid("odd"), RULES).reason == "odd"
    found = verdict_on_event(message(5), STOPPED, Applied.UNKNOWN, RULES, STOPPED_AT)
    assert found.unknown_run == "run"
    assert "neither the ledger nor the record has its run run" in found.reason
