"""The ledger's transitions, on a real Redis."""

from __future__ import annotations

import json

import pytest

from dagy_queue.errors import RunNotFound
from dagy_queue.ids import AttemptId
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
from dagy_queue.ledger.admission import Noted, Released, Unwanted
from dagy_queue.ledger.runs import Applied
from tests.integration.ledger.runs_kit import ARN, COMPLETION, EXPIRED, event, launched, park, resumed
from tests.integration.waiting import eventually


def test_a_published_run_is_queued_with_its_message(runs: RunLedger, connection: RedisConnection) -> None:
    assert runs.publish("r", Continuation("queue", "message"), push=True, about={"org": "acme", "flow": ""})
    assert runs.get("r").phase is Phase.QUEUED
    assert runs.get("r").org_id == "acme"
    assert connection.client.lrange("queue", 0, -1) == ["message"]


def test_publishing_the_same_run_again_sends_nothing(runs: RunLedger, connection: RedisConnection) -> None:
    runs.publish("r", Continuation("queue", "message"), push=True, about={})
    assert not runs.publish("r", Continuation("queue", "message"), push=True, about={})
    assert connection.client.llen("queue") == 1


def test_parking_stores_celerys_state_but_never_over_a_result(runs: RunLedger, connection: RedisConnection) -> None:
    connection.client.set("celery-task-meta-done", "result")
    park(runs, "fresh")
    park(runs, "done")
    assert connection.client.mget("celery-task-meta-fresh", "celery-task-meta-done") == ["parked", "result"]
    assert connection.client.ttl("celery-task-meta-fresh") > 0


def test_an_unknown_run_is_not_found(runs: RunLedger) -> None:
    with pytest.raises(RunNotFound, match="'nobody' is not in the ledger"):
        runs.get("nobody")


def test_parking_twice_changes_nothing(runs: RunLedger, admission: AdmissionLedger) -> None:
    assert park(runs) is Parked.PARKED
    assert park(runs) is Parked.BEYOND
    assert len(admission.lease(10, 60).grants) == 1


def test_a_stopped_event_resumes_the_run_once_with_the_blanks_filled(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    attempt_id = launched(runs, admission)
    stop = event(attempt_id, 6, stopped=True)
    assert runs.apply([stop, stop, stop]) == [Applied.RESUMED, Applied.STALE, Applied.STALE]
    (message,) = resumed(connection)
    assert message["headers"] == {"id": "r", "dagy_attempt": 1, "retries": 0}
    assert message["tag"] == "r/1/1"


def test_events_out_of_order_never_move_a_run_back(runs: RunLedger, admission: AdmissionLedger) -> None:
    attempt_id = launched(runs, admission)
    running, pending = event(attempt_id, 3, Phase.RUNNING), event(attempt_id, 2, Phase.PENDING)
    assert runs.apply([running, pending]) == [Applied.APPLIED, Applied.STALE]
    assert runs.get("r").phase is Phase.RUNNING


def test_an_event_of_another_attempt_or_task_is_stale(runs: RunLedger, admission: AdmissionLedger) -> None:
    attempt_id = launched(runs, admission)
    other_attempt = event(AttemptId("r", attempt_id.attempt + 1), 9, stopped=True)
    other_task = event(attempt_id, 9, stopped=True, arn="arn:other")
    assert runs.apply([other_attempt, other_task]) == [Applied.STALE, Applied.STALE]
    assert runs.apply([event(AttemptId("nobody", 1), 1, stopped=True)]) == [Applied.UNKNOWN]


def test_the_stopped_event_may_come_before_the_launch_is_noted(runs: RunLedger, admission: AdmissionLedger) -> None:
    park(runs)
    (grant,) = admission.lease(1, 60).grants
    assert runs.apply([event(grant.attempt_id, 6, stopped=True)]) == [Applied.RESUMED]
    assert admission.launched(grant.attempt_id, ARN) is Noted.NOTED
    assert runs.get("r").phase is Phase.STOPPED


def test_a_lease_that_runs_out_is_granted_again_under_the_same_attempt(
    runs: RunLedger, admission: AdmissionLedger
) -> None:
    park(runs)
    (first,) = admission.lease(1, 0.001).grants
    (second,) = next(g for g in iter(lambda: admission.lease(1, 60).grants, None) if g)
    assert second.attempt_id.client_token == first.attempt_id.client_token


def test_a_dispatcher_that_was_late_ends_no_attempt_that_another_one_has_launched(
    runs: RunLedger, admission: AdmissionLedger
) -> None:
    park(runs)
    (slow,) = admission.lease(1, 0).grants
    (quick,) = admission.lease(1, 60).grants
    assert admission.launched(quick.attempt_id, ARN) is Noted.NOTED
    assert runs.give_up(slow.attempt_id, COMPLETION) is Applied.STALE
    assert runs.get("r").phase is Phase.SUBMITTED
    assert runs.apply([event(quick.attempt_id, 1, stopped=True)]) == [Applied.RESUMED]


def test_an_event_takes_a_run_out_of_the_queue_whose_lease_ran_out(runs: RunLedger, admission: AdmissionLedger) -> None:
    park(runs)
    (grant,) = admission.lease(1, 0.001).grants
    assert runs.apply([event(grant.attempt_id, 1, Phase.PROVISIONING)]) == [Applied.APPLIED]
    assert admission.lease(1, 60).grants == ()


def test_a_refused_launch_waits_and_keeps_or_changes_its_attempt(runs: RunLedger, admission: AdmissionLedger) -> None:
    park(runs)
    (grant,) = admission.lease(1, 60).grants
    release = {"delay": 0.0, "give_up_after": 60.0, "reason": "throttled"}
    assert admission.release(grant.attempt_id, new_attempt=False, **release) is Released.HELD
    (again,) = next(g for g in iter(lambda: admission.lease(1, 60).grants, None) if g)
    assert (again.attempt_id, again.refusals) == (grant.attempt_id, 1)
    assert admission.release(again.attempt_id, new_attempt=True, **release) is Released.HELD
    (third,) = next(g for g in iter(lambda: admission.lease(1, 60).grants, None) if g)
    assert third.attempt_id == AttemptId("r", 2)
    assert runs.get("r").refusal == "throttled"


def test_a_launch_that_is_refused_for_too_long_is_given_up(runs: RunLedger, admission: AdmissionLedger) -> None:
    park(runs)
    (grant,) = admission.lease(1, 60).grants
    admission.release(grant.attempt_id, delay=0.005, new_attempt=False, give_up_after=0.001, reason="no")
    (again,) = next(g for g in iter(lambda: admission.lease(1, 60).grants, None) if g)
    found = admission.release(again.attempt_id, delay=0, new_attempt=False, give_up_after=0.001, reason="no")
    assert found is Released.EXPIRED


def test_a_retry_is_the_next_attempt_and_its_message_counts_it(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    attempt_id = launched(runs, admission)
    runs.apply([event(attempt_id, 6, stopped=True)])
    assert runs.retry(attempt_id, 0) == 2
    assert runs.retry(attempt_id, 0) is None
    (grant,) = next(g for g in iter(lambda: admission.lease(1, 60).grants, None) if g)
    assert (grant.attempt_id.attempt, grant.retries) == (2, 1)
    runs.complete(grant.attempt_id, COMPLETION)
    assert resumed(connection)[0]["headers"] == {"id": "r", "dagy_attempt": 2, "retries": 1}


def test_a_finished_run_keeps_its_outcome_and_expires(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    attempt_id = launched(runs, admission)
    runs.apply([event(attempt_id, 6, stopped=True)])
    assert runs.finish(attempt_id, RunStatus.SUCCEEDED)
    assert not runs.finish(attempt_id, RunStatus.FAILED)
    assert runs.get("r").status is RunStatus.SUCCEEDED
    assert connection.client.ttl("dagy:run:r") > 0


@pytest.mark.parametrize("state", ["PARKED", "RETRY"])
def test_a_run_whose_result_redis_has_lost_is_resumed_instead_of_over(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection, state: str
) -> None:
    attempt_id = launched(runs, admission)
    runs.apply([event(attempt_id, 6, stopped=True)])
    connection.client.set("result", json.dumps({"status": state, "result": None}))
    assert not runs.finish(attempt_id, RunStatus.SUCCEEDED, result_key="result")
    assert runs.get("r").phase is Phase.STOPPED
    assert len(resumed(connection)) == 2
    connection.client.set("result", json.dumps({"status": "SUCCESS", "result": state}))
    assert runs.finish(attempt_id, RunStatus.SUCCEEDED, result_key="result")


def test_a_result_that_is_lost_each_time_does_not_keep_a_run_from_its_end(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    attempt_id = launched(runs, admission)
    runs.apply([event(attempt_id, 6, stopped=True)])
    connection.client.set("result", json.dumps({"status": "PARKED", "result": None}))
    assert [runs.finish(attempt_id, RunStatus.SUCCEEDED, result_key="result") for _ in range(4)] == [*[False] * 3, True]


def test_runs_of_an_org_are_granted_by_priority_then_in_order(runs: RunLedger, admission: AdmissionLedger) -> None:
    for run_id, priority in (("low", 9), ("first", 3), ("second", 3), ("high", 0)):
        park(runs, run_id, priority=priority)
    granted = [g.attempt_id.run_id for g in admission.lease(10, 60).grants]
    assert granted == ["high", "first", "second", "low"]


def test_orgs_take_turns(runs: RunLedger, admission: AdmissionLedger) -> None:
    for number in range(5):
        park(runs, f"big-{number}", org="big")
    park(runs, "small-0", org="small")
    granted = [g.attempt_id.run_id for g in admission.lease(3, 60).grants]
    assert granted == ["big-0", "small-0", "big-1"]


def test_a_run_in_submission_is_stopped_when_its_task_is_known(runs: RunLedger, admission: AdmissionLedger) -> None:
    park(runs)
    (grant,) = admission.lease(1, 60).grants
    assert runs.cancel("r", "because", COMPLETION, waiting_only=True) == (Cancelled.RUNNING, "")
    assert runs.cancel("r", "because", COMPLETION) == (Cancelled.SUBMITTING, "")
    assert admission.launched(grant.attempt_id, ARN) is Noted.NOTED
    assert admission.lease(1, 60).unwanted == (Unwanted(ARN, "because"),)


def test_a_run_that_expired_in_the_queue_says_so_when_granted(runs: RunLedger, admission: AdmissionLedger) -> None:
    park(runs, expires=0.0001)
    (grant,) = admission.lease(1, 60).grants
    assert grant.expired


def test_a_stopped_run_can_be_resumed_again_later_a_bounded_number_of_times(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    attempt_id = launched(runs, admission)
    runs.apply([event(attempt_id, 6, stopped=True)])
    assert runs.postpone(attempt_id, 0, at_most=1, longest=60)
    while len(resumed(connection)) < 2:
        admission.lease(1, 60)
    assert not runs.postpone(attempt_id, 0, at_most=1, longest=60)


def test_a_run_is_postponed_for_longer_each_time(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    attempt_id = launched(runs, admission)
    runs.apply([event(attempt_id, 6, stopped=True)])
    waits = []
    for _ in range(14):
        assert runs.postpone(attempt_id, 5, at_most=100, longest=60)
        waits.append(round(runs.due_in("r") or 0))
    assert waits == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 60, 60]


def test_what_postponed_an_attempt_is_not_counted_against_the_next(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    first = launched(runs, admission)
    runs.apply([event(first, 6, stopped=True)])
    assert runs.postpone(first, 0, at_most=1, longest=60)
    while len(resumed(connection)) < 2:
        admission.lease(1, 60)
    assert runs.retry(first, 0) == 2
    eventually(lambda: bool(admission.lease(1, 60).grants), "the retry is granted")
    second = AttemptId("r", 2)
    runs.apply([event(second, 6, stopped=True, arn=f"{ARN}d")])
    assert runs.postpone(second, 0, at_most=1, longest=60)


def test_the_pump_is_woken_when_a_run_is_parked_and_told_when_something_falls_due(
    runs: RunLedger, admission: AdmissionLedger
) -> None:
    assert admission.lease(1, 60).next_due is None
    park(runs)
    admission.wait(60)
    granted = admission.lease(1, 30)
    assert granted.next_due is not None
    assert 0 < granted.next_due <= 30


def test_a_run_that_has_expired_ends_in_its_first_pass_unless_it_was_parked_before(runs: RunLedger) -> None:
    assert park(runs, "late", expires=0) is Parked.CANCELLED
    stopped = runs.claim("late")
    assert stopped is not None
    assert stopped.completion == EXPIRED
    assert park(runs, "in-time", expires=60) is Parked.PARKED
    assert park(runs, "in-time", expires=0) is Parked.BEYOND
    assert runs.get("in-time").phase is Phase.HELD
