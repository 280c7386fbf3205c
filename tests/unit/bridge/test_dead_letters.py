from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from dagy_queue.bridge.dead_letters import (
    FIRST_SEEN,
    MESSAGE_ID,
    REASON,
    DeadLetterQueue,
    DeadLetters,
    find_dead_letters,
    find_queue_url,
    require_dead_letters,
)
from dagy_queue.bridge.event_queue import EventQueue
from dagy_queue.bridge.quarantine import Quarantine, recorded_in
from dagy_queue.bridge.shared import Shared
from dagy_queue.errors import AwsRefused, AwsUnavailable, SettingsInvalid
from dagy_queue.settings import BridgeSettings
from tests.unit.bridge.kit import DEAD, POLICY, QUEUE, FakeSqs, refusal
from tests.unit.kit import body, event

SETTINGS = BridgeSettings(queue_url=QUEUE)


@pytest.fixture
def sqs() -> FakeSqs:
    return FakeSqs()


def queue(sqs: FakeSqs, url: str) -> EventQueue:
    return EventQueue(sqs, url, wait_seconds=0, visibility_timeout=60)  # type: ignore[arg-type]


def letters(sqs: FakeSqs, limit: int = 100) -> DeadLetters:
    return DeadLetters(queue(sqs, DEAD), limit)


def quarantined(sqs: FakeSqs, text: str, message_id: str, reason: str = "odd") -> None:
    said = {REASON: reason, FIRST_SEEN: "2026-01-01T00:00:00+00:00", MESSAGE_ID: message_id}
    queue(sqs, DEAD).send(text, said)


# -- finding it ---------------------------------------------------------------------------------------------------


def test_the_dead_letter_queue_is_that_of_the_redrive_policy(sqs: FakeSqs) -> None:
    assert find_dead_letters(sqs, QUEUE, SETTINGS) == DeadLetterQueue(DEAD, 10)  # type: ignore[arg-type]


def test_the_settings_name_another(sqs: FakeSqs) -> None:
    named = BridgeSettings(queue_url=QUEUE, dead_letter_url="https://sqs/1/mine")
    assert find_dead_letters(sqs, QUEUE, named) == DeadLetterQueue("https://sqs/1/mine", 10)  # type: ignore[arg-type]


def test_a_queue_without_a_redrive_policy_has_none_and_commands_say_so() -> None:
    sqs: Any = FakeSqs(policy=None)
    assert find_dead_letters(sqs, QUEUE, SETTINGS) is None
    with pytest.raises(SettingsInvalid, match="has no dead-letter queue: give it a redrive policy"):
        require_dead_letters(sqs, QUEUE, SETTINGS)


def test_the_event_queue_is_found_by_its_name(sqs: Any) -> None:
    assert find_queue_url(sqs, SETTINGS) == QUEUE
    assert find_queue_url(sqs, BridgeSettings(queue_name="other")).endswith("/other")


# -- the limits of the quarantine ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "policys", "got"), [(5, 10, 5), (10, 10, 10), (20, 10, 10), (5, 3, 3)])
def test_messages_are_quarantined_before_sqs_moves_them(wanted: int, policys: int, got: int) -> None:
    sqs: Any = FakeSqs({**POLICY, "maxReceiveCount": policys})
    quarantine = made(sqs)
    with capture_logs() as logs:
        assert quarantine.max_receives(wanted) == got
    assert bool(logs) == (wanted >= policys)


def test_a_bridge_that_may_not_look_goes_by_its_setting() -> None:
    sqs: Any = FakeSqs()
    sqs.errors["get_queue_attributes"] = [refusal("AccessDenied", "GetQueueAttributes")]
    assert made(sqs).max_receives(5) == 5


def test_without_a_redrive_policy_the_setting_counts() -> None:
    assert made(FakeSqs(policy=None)).max_receives(50) == 50


def made(sqs: Any) -> Quarantine:
    return Quarantine(
        lambda: find_dead_letters(sqs, QUEUE, SETTINGS),
        lambda url: queue(sqs, url),
        lambda _run_id: False,
        Shared.fresh().troubles,
    )


def test_without_a_table_there_is_no_record() -> None:
    def fails(error: Exception) -> Any:
        def find(_run_id: str) -> None:
            raise error

        return find

    assert recorded_in(lambda _run_id: object())("run")
    assert not recorded_in(lambda _run_id: None)("run")
    assert not recorded_in(fails(AwsRefused("no table", code="ResourceNotFoundException")))("run")
    with pytest.raises(AwsUnavailable):
        recorded_in(fails(AwsUnavailable("away")))("run")


# -- looking into it ----------------------------------------------------------------------------------------------


def test_reading_leaves_everything_where_it_is(sqs: FakeSqs) -> None:
    for number in range(25):
        quarantined(sqs, body(event(f"run-{number}")), f"original-{number}")
    found = letters(sqs).read()
    assert [letter.message_id for letter in found] == [f"original-{n}" for n in range(25)]
    assert (found[3].run_id, found[3].reason, found[3].first_seen) == ("run-3", "odd", "2026-01-01T00:00:00+00:00")
    assert len(sqs.ids(DEAD)) == 25
    assert all(message.hidden is None for message in sqs.queues[DEAD])


def test_no_more_is_moved_than_the_limit_though_messages_come_ten_at_a_time(sqs: FakeSqs) -> None:
    sqs.put(*(str(n) for n in range(30)), url=DEAD)
    moved = letters(sqs, limit=15).redrive(queue(sqs, QUEUE), None)
    assert len(moved) == 15
    assert len(sqs.queues[DEAD]) == 15


def test_reading_stops_at_its_limit(sqs: FakeSqs) -> None:
    for number in range(25):
        quarantined(sqs, "nonsense", f"original-{number}")
    assert len(letters(sqs, 10).read()) == 10
    assert len(letters(sqs, 3).read()) == 3
    assert all(message.hidden is None for message in sqs.queues[DEAD])


def test_messages_that_others_put_there_have_a_reason_as_well(sqs: FakeSqs) -> None:
    sqs.put("moved by SQS", url=DEAD)
    queue(sqs, DEAD).send("not delivered", {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "may not send"})
    moved, undelivered = letters(sqs).read()
    assert (moved.message_id, moved.reason, moved.run_id) == (
        "m0",
        "SQS moved it here: it was received too often without being deleted",
        "",
    )
    assert undelivered.reason == "EventBridge could not deliver it: NO_PERMISSIONS: may not send"


def test_a_message_is_found_by_either_id(sqs: FakeSqs) -> None:
    quarantined(sqs, "nonsense", "original")
    found = letters(sqs).find("original")
    assert found is not None
    assert found == letters(sqs).find("m0")
    assert found.body == "nonsense"
    assert letters(sqs).find("other") is None


# -- sending back -------------------------------------------------------------------------------------------------


def test_redriving_sends_before_it_deletes(sqs: FakeSqs) -> None:
    quarantined(sqs, "nonsense", "original")
    sqs.errors["delete_message_batch"] = [refusal("Throttling")]
    with pytest.raises(Exception, match="Throttling"):
        letters(sqs).redrive(queue(sqs, QUEUE), None)
    assert (len(sqs.ids(QUEUE)), len(sqs.ids(DEAD))) == (1, 1)


def test_what_cannot_be_sent_stays(sqs: FakeSqs) -> None:
    quarantined(sqs, "nonsense", "original")
    sqs.errors["send_message"] = [refusal("Throttling")]
    with pytest.raises(Exception, match="Throttling"):
        letters(sqs).redrive(queue(sqs, QUEUE), None)
    assert (len(sqs.ids(QUEUE)), len(sqs.ids(DEAD))) == (0, 1)
    assert sqs.queues[DEAD][0].hidden is None


def test_only_what_is_named_is_redriven(sqs: FakeSqs) -> None:
    for number in range(15):
        quarantined(sqs, f"body {number}", f"original-{number}")
    moved = letters(sqs).redrive(queue(sqs, QUEUE), {"original-2", "original-12", "missing"})
    assert [letter.message_id for letter in moved] == ["original-2", "original-12"]
    assert [message.body for message in sqs.queues[QUEUE]] == ["body 2", "body 12"]
    assert len(sqs.ids(DEAD)) == 13
    assert all(message.hidden is None for message in sqs.queues[DEAD])


def test_what_comes_back_while_everything_is_redriven_is_not_redriven_again(sqs: FakeSqs) -> None:
    quarantined(sqs, "{}", "original")

    def come_back() -> None:
        for message in sqs.queues[QUEUE]:
            quarantined(sqs, message.body, message.message_id)
        sqs.queues[QUEUE].clear()

    sqs.before["receive_message"] = come_back
    assert len(letters(sqs).redrive(queue(sqs, QUEUE), None)) == 1
    (left,) = sqs.queues[DEAD]
    assert left.hidden is None


def test_everything_is_redriven_without_its_attributes(sqs: FakeSqs) -> None:
    for number in range(25):
        quarantined(sqs, f"body {number}", f"original-{number}")
    assert len(letters(sqs).redrive(queue(sqs, QUEUE), None)) == 25
    assert (sqs.ids(DEAD), sqs.hidings) == ([], [])
    assert all(not message.attributes for message in sqs.queues[QUEUE])
