from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from dagy_queue.bridge import troubles
from dagy_queue.bridge.dead_letters import FIRST_SEEN, MESSAGE_ID, REASON
from dagy_queue.errors import AwsUnavailable
from dagy_queue.ledger import Phase, RedisConnection, RunLedger
from dagy_queue.ledger.runs import Observation
from dagy_queue.settings import RedisSettings
from tests.unit.bridge.kit import DEAD, QUEUE, THROTTLED, Desk, FakeSqs, make_desk, refusal
from tests.unit.kit import TASK_ARN, body, event, stopped_event
from tests.unit.ledger.kit import launched_run


@pytest.fixture
def sqs() -> FakeSqs:
    return FakeSqs()


@pytest.fixture
def desk(sqs: FakeSqs, connection: RedisConnection) -> Desk:
    return make_desk(sqs, connection)


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(troubles, "_FIRST", 0.001)


def stopped_now(run_id: str, **detail: Any) -> str:
    return body(stopped_event(run_id, stoppedAt=datetime.now(UTC).isoformat(), **detail))


def test_an_event_is_applied_and_its_message_deleted(desk: Desk, sqs: FakeSqs, connection: RedisConnection) -> None:
    launched_run(connection, "run")
    sqs.put(body(event("run", lastStatus="RUNNING")))
    assert desk.consumer.turn() == 1
    entry = RunLedger(connection).get("run")
    assert (entry.phase, entry.task_arn) == (Phase.RUNNING, TASK_ARN)
    assert (sqs.ids(), desk.count("applied")) == ([], 1)


def test_a_stopped_task_resumes_its_run(desk: Desk, sqs: FakeSqs, connection: RedisConnection) -> None:
    launched_run(connection, "run")
    sqs.put(body(stopped_event("run")))
    desk.consumer.turn()
    assert RunLedger(connection).get("run").phase is Phase.STOPPED
    assert connection.client.llen("resumed") == 1
    assert desk.count("resumed") == 1


def test_events_that_change_nothing_are_deleted_as_well(desk: Desk, sqs: FakeSqs, connection: RedisConnection) -> None:
    launched_run(connection, "run")
    again = body(stopped_event("run"))
    sqs.put(again, again, body(event("run", version=1)), body(event("stranger")))
    assert desk.consumer.turn() == 4
    assert connection.client.llen("resumed") == 1
    assert [desk.count(kind) for kind in ("resumed", "stale", "unknown")] == [1, 2, 1]


def test_the_attempt_of_an_event_must_be_the_runs(desk: Desk, sqs: FakeSqs, connection: RedisConnection) -> None:
    launched_run(connection, "run")
    sqs.put(body(stopped_event("run", attempt=2)))
    desk.consumer.turn()
    assert RunLedger(connection).get("run").phase is Phase.SUBMITTED
    assert sqs.ids() == []


def test_ten_messages_cost_two_calls(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put(*[body(event(f"run-{n}")) for n in range(10)])
    assert desk.consumer.turn() == 10
    assert sqs.calls == {"receive_message": 1, "delete_message_batch": 1}


def test_an_empty_receive_is_no_work(desk: Desk, sqs: FakeSqs) -> None:
    assert desk.consumer.turn() == 0
    assert sqs.calls == {"receive_message": 1}


# -- messages that cannot be applied ------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", ["nonsense", "[" * 100_000, body(stopped_event(version=None)), ""])
def test_a_poisonous_message_does_not_hold_up_the_others(
    desk: Desk, sqs: FakeSqs, connection: RedisConnection, poison: str
) -> None:
    launched_run(connection, "run")
    sqs.put(poison, body(stopped_event("run")))
    assert desk.consumer.turn() == 1
    assert (sqs.ids(), sqs.ids(DEAD), desk.count("left")) == (["m0"], [], 1)
    assert RunLedger(connection).get("run").phase is Phase.STOPPED


def test_a_message_that_cannot_be_read_is_quarantined_with_its_reason_at_the_last_try(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put(body(event(startedBy="ecs-svc/1")))
    for _ in range(2):
        desk.consumer.turn()
        assert sqs.ids() == ["m0"]
        sqs.reappear()
    assert desk.consumer.turn() == 1
    assert sqs.ids() == []
    (letter,) = sqs.queues[DEAD]
    said = {name: value["StringValue"] for name, value in letter.attributes.items()}
    assert letter.body == body(event(startedBy="ecs-svc/1"))
    assert said == {
        REASON: "startedBy 'ecs-svc/1' is not one of ours",
        FIRST_SEEN: "2026-01-01T00:00:01+00:00",
        MESSAGE_ID: "m0",
    }
    assert desk.count("quarantined") == 1


def test_a_reason_has_only_characters_that_sqs_takes(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put(body(event(startedBy="\x00\ud800\uffff" + "x" * 5000)), receives=2)
    desk.consumer.turn()
    (letter,) = sqs.queues[DEAD]
    reason = letter.attributes[REASON]["StringValue"]
    assert reason.isprintable()
    assert reason.encode()
    assert len(reason) <= 1000


def test_a_message_that_cannot_be_sent_to_quarantine_stays(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put("nonsense", "nonsense as well", receives=2)
    sqs.errors["send_message"] = [refusal("AccessDenied", "SendMessage")]
    assert desk.consumer.turn() == 1
    assert (sqs.ids(), len(sqs.ids(DEAD)), desk.failures("quarantine")) == (["m0"], 1, 1)


def test_without_a_dead_letter_queue_messages_stay_and_that_is_told_once(
    sqs: FakeSqs, connection: RedisConnection
) -> None:
    desk = make_desk(sqs, connection, dead=None)
    sqs.put("nonsense", "nonsense as well", receives=2)
    with capture_logs() as logs:
        assert desk.consumer.turn() == 0
    assert sqs.ids() == ["m0", "m1"]
    assert [line["event"] for line in logs].count("no_dead_letter_queue") == 1


# -- runs that the ledger does not know ---------------------------------------------------------------------------


def test_the_end_of_an_unknown_run_waits_for_the_ledger_to_catch_up(
    desk: Desk, sqs: FakeSqs, connection: RedisConnection
) -> None:
    sqs.put(stopped_now("run"))
    assert desk.consumer.turn() == 0
    launched_run(connection, "run")
    sqs.reappear()
    assert desk.consumer.turn() == 1
    assert RunLedger(connection).get("run").phase is Phase.STOPPED
    assert (sqs.ids(), sqs.ids(DEAD)) == ([], [])


def test_the_end_of_a_run_that_nobody_knows_is_quarantined_after_its_tries(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put(stopped_now("stranger"), receives=2)
    assert desk.consumer.turn() == 1
    assert sqs.ids() == []
    (letter,) = sqs.queues[DEAD]
    assert "its run stranger" in letter.attributes[REASON]["StringValue"]


def test_the_end_of_an_unknown_run_that_the_record_has_is_dropped(sqs: FakeSqs, connection: RedisConnection) -> None:
    desk = make_desk(sqs, connection, is_recorded=lambda run_id: run_id == "direct")
    sqs.put(stopped_now("direct"), receives=2)
    assert desk.consumer.turn() == 1
    assert (sqs.ids(), sqs.ids(DEAD), desk.count("unknown")) == ([], [], 1)


def test_while_the_record_cannot_be_asked_an_unknown_end_stays(sqs: FakeSqs, connection: RedisConnection) -> None:
    def away(_run_id: str) -> bool:
        raise AwsUnavailable("dynamodb:GetItem: no answer")

    desk = make_desk(sqs, connection, is_recorded=away)
    sqs.put(stopped_now("stranger"), "nonsense", receives=2)
    assert desk.consumer.turn() == 1
    assert (sqs.ids(), len(sqs.ids(DEAD))) == (["m0"], 1)


def test_the_end_of_a_run_that_ended_long_ago_is_dropped_at_once(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put(body(stopped_event("old")))
    assert desk.consumer.turn() == 1
    assert (sqs.ids(), sqs.ids(DEAD), desk.count("unknown")) == ([], [], 1)


def test_other_events_of_an_unknown_run_are_dropped_at_once(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put(body(event("stranger", lastStatus="RUNNING")))
    assert desk.consumer.turn() == 1
    assert sqs.ids() == []


# -- an event that Redis cannot take ------------------------------------------------------------------------------


def test_an_event_on_which_a_script_fails_does_not_hold_up_the_others(
    desk: Desk, sqs: FakeSqs, connection: RedisConnection
) -> None:
    launched_run(connection, "run")
    connection.client.set("dagy:run:broken", "no hash")
    sqs.put(body(stopped_event("broken")), body(stopped_event("run")))
    assert desk.consumer.turn() == 1
    assert RunLedger(connection).get("run").phase is Phase.STOPPED
    assert sqs.ids() == ["m0"]
    for _ in range(2):
        sqs.reappear()
        desk.consumer.turn()
    (letter,) = sqs.queues[DEAD]
    assert "the ledger cannot take it" in letter.attributes[REASON]["StringValue"]


def test_a_full_redis_is_no_fault_of_the_events_that_came_then(
    desk: Desk, sqs: FakeSqs, connection: RedisConnection
) -> None:
    for run_id in ("a", "b"):
        launched_run(connection, run_id)
        sqs.put(body(stopped_event(run_id)), receives=2)
    connection.client.config_set("maxmemory", 1)
    turn = threading.Thread(target=desk.consumer.turn, daemon=True)
    try:
        turn.start()
        while desk.failures("apply") < 3:
            assert turn.is_alive()
        assert sqs.ids() == ["m0", "m1"]
    finally:
        connection.client.config_set("maxmemory", 0)
    turn.join(20)
    assert (sqs.ids(), sqs.ids(DEAD), desk.count("left"), desk.count("resumed")) == ([], [], 0, 2)
    assert sqs.calls["receive_message"] == 1


# -- deleting -----------------------------------------------------------------------------------------------------


def test_what_could_not_be_deleted_is_tried_once_more(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put(*[body(event(f"run-{n}")) for n in range(10)])
    sqs.partly["delete_message_batch"] = [{"m3", "m7"}]
    assert desk.consumer.turn() == 10
    assert (sqs.ids(), sqs.calls["delete_message_batch"]) == ([], 2)


def test_what_cannot_be_deleted_twice_is_left_to_its_visibility_timeout(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put(*[body(event(f"run-{n}")) for n in range(3)])
    sqs.partly["delete_message_batch"] = [{"m1"}, {"m1"}]
    desk.consumer.turn()
    assert (sqs.ids(), sqs.calls["delete_message_batch"]) == (["m1"], 2)
    assert sqs.queues[QUEUE][0].hidden == 33
    assert sqs.hidings == []


def test_a_delete_call_that_fails_is_made_once_more(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put(body(event("run")))
    sqs.errors["delete_message_batch"] = [THROTTLED]
    desk.consumer.turn()
    assert (sqs.ids(), desk.failures("delete")) == ([], 1)


# -- Redis away ---------------------------------------------------------------------------------------------------


def test_events_wait_in_hand_while_redis_is_away_and_are_applied_once_it_is_back(
    desk: Desk, sqs: FakeSqs, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched_run(connection, "run")
    nowhere = RunLedger(RedisConnection(RedisSettings(url="redis://127.0.0.1:1/0")))
    real, failures = RunLedger.apply, 3

    def apply(ledger: RunLedger, observations: list[Observation]) -> Any:
        nonlocal failures
        failures -= 1
        assert sqs.ids() == ["m0"]
        assert not desk.hand.is_empty
        return real(nowhere if failures >= 0 else ledger, observations)

    monkeypatch.setattr(RunLedger, "apply", apply)
    sqs.put(body(stopped_event("run")))
    with capture_logs() as logs:
        assert desk.consumer.turn() == 1
    assert (sqs.ids(), sqs.calls["receive_message"], desk.failures("apply")) == ([], 1, 3)
    assert [line["event"] for line in logs if "bridge" in line["event"]] == [
        "bridge_call_failed",
        "bridge_call_works_again",
    ]
    assert RunLedger(connection).get("run").phase is Phase.STOPPED


def nowhere() -> RedisConnection:
    return RedisConnection(RedisSettings(url="redis://127.0.0.1:1/0", socket_timeout=1))


def test_nothing_is_deleted_before_the_ledger_has_it(sqs: FakeSqs) -> None:
    desk = make_desk(sqs, nowhere())
    desk.shared.stop.over.set()
    sqs.put(body(stopped_event("run")))
    assert desk.consumer.turn() == 0
    assert sqs.ids() == ["m0"]
    assert sqs.hidings == [("m0", 0)]


def test_messages_that_sqs_will_not_keep_hidden_any_longer_are_let_go(sqs: FakeSqs) -> None:
    times = iter([0.0, 13 * 3600.0])
    desk = make_desk(sqs, nowhere(), now=lambda: next(times))
    sqs.put(body(stopped_event("run")))
    assert desk.consumer.turn() == 0
    assert sqs.ids() == ["m0"]


# -- the loop -----------------------------------------------------------------------------------------------------


def run_until(desk: Desk, operation: str, enough: int) -> list[float | None]:
    """Run the loop until an operation was called so often; return how long it waited each time."""
    waits: list[float | None] = []

    class Impatient(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return self.is_set()

    asked = Impatient()
    object.__setattr__(desk.shared.stop, "asked", asked)

    def look() -> None:
        if desk.sqs.calls[operation] >= enough:
            asked.set()

    desk.sqs.before[operation] = look
    desk.consumer.run()
    return waits


def test_failing_receives_are_repeated_with_delays_and_told_once(
    desk: Desk, sqs: FakeSqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(troubles, "_FIRST", 0.5)
    sqs.errors["receive_message"] = [THROTTLED] * 8 + [refusal("AccessDenied")]
    with capture_logs() as logs:
        waits = run_until(desk, "receive_message", 11)
    assert len(waits) == 9
    assert all(0 <= (wait or 0) <= min(30, 0.5 * 2**n) for n, wait in enumerate(waits))
    assert [(line["event"], line["call"]) for line in logs] == [
        ("bridge_call_failed", "receive"),
        ("bridge_call_failed", "receive"),
        ("bridge_call_works_again", "receive"),
    ]
    assert desk.failures("receive") == 9


def test_a_defect_does_not_end_the_loop(desk: Desk, sqs: FakeSqs) -> None:
    sqs.errors["receive_message"] = [ZeroDivisionError(), ZeroDivisionError()]
    with capture_logs() as logs:
        assert len(run_until(desk, "receive_message", 4)) == 2
    assert [line["event"] for line in logs] == ["bridge_call_failed", "bridge_call_works_again"]


def test_a_consumer_that_is_told_to_stop_receives_nothing_more(desk: Desk, sqs: FakeSqs) -> None:
    desk.shared.stop.asked.set()
    desk.consumer.run()
    assert sqs.calls == {}


def test_what_is_received_after_the_stop_is_given_back(desk: Desk, sqs: FakeSqs) -> None:
    sqs.put(body(event("run")), body(event("run")))
    sqs.before["receive_message"] = desk.shared.stop.asked.set
    desk.consumer.run()
    assert sqs.hidings == [("m0", 0), ("m1", 0)]
    assert sqs.ids() == ["m0", "m1"]


def test_metrics_tell_the_lag_and_the_oldest_message(desk: Desk, sqs: FakeSqs, connection: RedisConnection) -> None:
    launched_run(connection, "run")
    sqs.put(body(event("stranger") | {"time": "2020-01-01T00:00:00Z"}))
    sqs.put(body(event("run") | {"time": datetime.now(UTC).isoformat()}))
    desk.consumer.turn()
    value: Callable[[str], float | None] = desk.shared.metrics.registry.get_sample_value
    assert value("dagy_bridge_lag_seconds_count") == 1
    assert (value("dagy_bridge_lag_seconds_sum") or 0) < 10
    assert (value("dagy_bridge_oldest_message_seconds") or 0) > 3600
    desk.consumer.turn()
    assert value("dagy_bridge_oldest_message_seconds") == 0
