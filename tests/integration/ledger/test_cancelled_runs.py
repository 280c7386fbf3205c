"""What becomes of runs that are cancelled, in each phase, on a real Redis."""

from __future__ import annotations

import json

import pytest

from dagy_queue.ledger import (
    AdmissionLedger,
    Cancelled,
    Continuation,
    Parked,
    Phase,
    RedisConnection,
    RunLedger,
    RunStatus,
)
from dagy_queue.ledger.admission import Noted, Unwanted
from dagy_queue.ledger.runs import Applied
from dagy_queue.ledger.sweeps import SentAgain, SweepLedger
from tests.integration.ledger.runs_kit import ARN, COMPLETION, event, launched, park, resumed


def test_a_waiting_run_is_dropped_when_cancelled(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    park(runs)
    assert runs.cancel("r", "because", COMPLETION) == (Cancelled.DROPPED, "")
    assert admission.lease(1, 60).grants == ()
    assert len(resumed(connection)) == 1
    assert runs.cancel("r", "because", COMPLETION) == (Cancelled.FINISHED, "")


@pytest.mark.parametrize(("reason", "told"), [("", "cancelled"), ("half a \ud83d pair", r"half a \ud83d pair")])
def test_whatever_the_reason_a_run_that_is_cancelled_is_not_tried_again(
    runs: RunLedger, admission: AdmissionLedger, reason: str, told: str
) -> None:
    attempt_id = launched(runs, admission)
    runs.cancel("r", reason, COMPLETION)
    runs.complete(attempt_id, COMPLETION)
    stopped = runs.claim("r")
    assert stopped is not None
    assert stopped.cancel_reason == told


def test_a_launched_run_is_cancelled_by_stopping_its_task(runs: RunLedger, admission: AdmissionLedger) -> None:
    launched(runs, admission)
    assert runs.cancel("r", "because", COMPLETION) == (Cancelled.STOP, ARN)
    assert admission.lease(1, 60).unwanted == (Unwanted(ARN, "because"),)
    assert runs.cancel("nobody", "because", COMPLETION) == (Cancelled.UNKNOWN, "")


def test_a_run_cancelled_before_its_first_pass_is_never_parked(runs: RunLedger, admission: AdmissionLedger) -> None:
    runs.publish("r", Continuation("queue", "message"), push=True, about={})
    assert runs.cancel("r", "because", COMPLETION) == (Cancelled.QUEUED, "")
    assert park(runs) is Parked.CANCELLED
    assert admission.lease(1, 60).grants == ()


def test_a_message_with_a_countdown_is_sent_without_it_when_its_run_is_cancelled(
    runs: RunLedger, connection: RedisConnection
) -> None:
    held = '{"headers":{"eta":"2031-01-01T00:00:00+00:00","id":"r"},"properties":{"delivery_tag":"t"}}'
    runs.publish("r", Continuation("queue", held), push=False, about={})
    assert runs.cancel("r", "because", COMPLETION) == (Cancelled.QUEUED, "")
    [sent] = [json.loads(str(text)) for text in connection.client.lrange("queue", 0, -1)]  # type: ignore[union-attr]
    assert sent["headers"] == {"eta": None, "id": "r"}
    assert sent["properties"]["delivery_tag"] != "t"
    assert park(runs) is Parked.CANCELLED


def test_a_run_that_is_cancelled_when_its_container_has_ended_is_not_tried_again(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    attempt_id = launched(runs, admission)
    runs.complete(attempt_id, COMPLETION)
    assert runs.cancel("r", "because", COMPLETION, waiting_only=True) == (Cancelled.FINISHED, "")
    assert runs.cancel("r", "because", COMPLETION) == (Cancelled.STOPPED, "")
    assert runs.cancel("r", "because", COMPLETION) == (Cancelled.FINISHED, "")
    assert runs.retry(attempt_id, 0) is None
    assert len(resumed(connection)) == 2  # the second ends what wanted to retry
    stopped = runs.claim("r")
    assert stopped is not None
    assert stopped.cancel_reason == "because"


def test_a_cancelled_run_that_still_runs_is_stopped_again_when_asked_again(
    runs: RunLedger, admission: AdmissionLedger
) -> None:
    launched(runs, admission)
    for _ in range(2):
        assert runs.cancel("r", "because", COMPLETION) == (Cancelled.STOP, ARN)
        assert admission.lease(1, 60).unwanted == (Unwanted(ARN, "because"),)


def test_whoever_cancels_a_run_first_has_said_why(runs: RunLedger, admission: AdmissionLedger) -> None:
    launched(runs, admission)
    runs.cancel("r", "no longer needed", COMPLETION)
    assert runs.cancel("r", "a broadcast that came after it", COMPLETION) == (Cancelled.STOP, ARN)
    assert admission.lease(1, 60).unwanted == (Unwanted(ARN, "no longer needed"),)


def test_a_task_is_stopped_again_until_it_has_ended(runs: RunLedger, admission: AdmissionLedger) -> None:
    attempt_id = launched(runs, admission)
    runs.cancel("r", "because", COMPLETION)
    granted = admission.lease(1, 60)
    assert granted.next_due is not None
    assert 20 < granted.next_due <= 30
    runs.complete(attempt_id, COMPLETION)
    assert admission.lease(1, 60).next_due is None


def test_the_first_event_of_a_run_cancelled_in_submission_has_its_task_stopped(
    runs: RunLedger, admission: AdmissionLedger
) -> None:
    park(runs)
    (grant,) = admission.lease(1, 60).grants
    runs.cancel("r", "because", COMPLETION)
    first, second = event(grant.attempt_id, 1, Phase.PROVISIONING), event(grant.attempt_id, 2, Phase.PENDING)
    assert runs.apply([first, second]) == [Applied.APPLIED, Applied.APPLIED]
    assert admission.lease(1, 60).unwanted == (Unwanted(ARN, "because"),)


def test_a_task_that_appears_after_its_run_is_over_is_unwanted(runs: RunLedger, admission: AdmissionLedger) -> None:
    park(runs)
    (grant,) = admission.lease(1, 60).grants
    runs.complete(grant.attempt_id, COMPLETION)
    assert admission.launched(grant.attempt_id, ARN) is Noted.STALE


def test_a_run_that_its_first_pass_finds_cancelled_is_on_its_way_to_its_second_whoever_dies(
    runs: RunLedger, connection: RedisConnection
) -> None:
    runs.publish("r", Continuation("elsewhere", "message"), push=True, about={})
    runs.cancel("r", "because", COMPLETION)
    assert park(runs) is Parked.CANCELLED
    assert park(runs) is Parked.BEYOND
    (message,) = resumed(connection)
    assert message["headers"] == {"id": "r", "dagy_attempt": 1, "retries": 0}
    connection.client.delete("queue")
    connection.client.zincrby(connection.key("resumed", "queue"), -100_000, "r")
    assert SweepLedger(connection).lost_messages(10, 60, 10) == [SentAgain("resume", "r")]
    stopped = runs.claim("r", 2)
    assert stopped is not None
    assert (stopped.cancel_reason, stopped.completion) == ("because", COMPLETION)
    assert runs.finish(stopped.attempt_id, RunStatus.CANCELLED)
    assert runs.get("r").status is RunStatus.CANCELLED
