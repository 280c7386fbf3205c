"""Runs whose ``expires`` passes while they wait for their launch: it counts until a call may have made a task."""

from __future__ import annotations

import pytest

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import AdmissionLedger, Phase, RedisConnection, RunLedger
from dagy_queue.ledger.admission import Grant, Noted, Released
from tests.integration.ledger.runs_kit import ARN, COMPLETION, event, park

LATER = 3600.0


@pytest.fixture
def in_time(runs: RunLedger, admission: AdmissionLedger) -> Grant:
    """A run that was granted before it expired."""
    park(runs, expires=LATER)
    (grant,) = admission.lease(1, 60).grants
    assert not grant.expired
    return grant


def end_lease(connection: RedisConnection) -> None:
    assert connection.client.zadd(connection.key("leases"), {"r": 1}, xx=True, ch=True) == 1


def expire(connection: RedisConnection) -> None:
    """Its ``expires`` passes, unless it does not count any more."""
    if connection.client.hexists(connection.key("run", "r"), "expires"):
        connection.client.hset(connection.key("run", "r"), "expires", 1)


def granted_again(admission: AdmissionLedger) -> Grant:
    (grant,) = admission.lease(1, 60).grants
    return grant


def release(admission: AdmissionLedger, grant: Grant, *, new_attempt: bool = False, unanswered: bool = False) -> None:
    released = admission.release(
        grant.attempt_id, delay=0, new_attempt=new_attempt, give_up_after=60, reason="no", unanswered=unanswered
    )
    assert released is Released.HELD


def test_a_run_that_was_granted_as_expired_is_so_again_when_it_is_given_back(
    runs: RunLedger, admission: AdmissionLedger
) -> None:
    park(runs, expires=0.0001)
    first = granted_again(admission)
    assert admission.give_back(first.attempt_id, called=False) is Released.HELD
    assert (first.expired, granted_again(admission).expired) == (True, True)


def test_a_run_that_was_granted_as_expired_is_so_again_when_its_dispatcher_dies(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    park(runs, expires=0.0001)
    found = [granted_again(admission).expired]
    for _ in range(2):
        end_lease(connection)
        found.append(granted_again(admission).expired)
    assert found == [True, True, True]


def test_a_run_that_is_given_back_before_its_call_still_expires(
    admission: AdmissionLedger, connection: RedisConnection, in_time: Grant
) -> None:
    admission.give_back(in_time.attempt_id, called=False)
    expire(connection)
    assert granted_again(admission).expired


@pytest.mark.parametrize("new_attempt", [True, False])
def test_a_run_whose_launch_aws_refused_still_expires(
    admission: AdmissionLedger, connection: RedisConnection, in_time: Grant, new_attempt: bool
) -> None:
    release(admission, in_time, new_attempt=new_attempt)
    expire(connection)
    assert granted_again(admission).expired


def test_a_run_that_may_have_a_task_does_not_expire(
    admission: AdmissionLedger, connection: RedisConnection, in_time: Grant
) -> None:
    admission.give_back(in_time.attempt_id, called=True)
    expire(connection)
    found = [granted_again(admission)]
    end_lease(connection)
    found.append(granted_again(admission))
    release(admission, found[-1], unanswered=True)
    found.append(granted_again(admission))
    release(admission, found[-1])
    found.append(granted_again(admission))
    assert [grant.expired for grant in found] == [False] * 4


def test_a_run_whose_dispatcher_died_does_not_expire(
    admission: AdmissionLedger, connection: RedisConnection, in_time: Grant
) -> None:
    end_lease(connection)
    expire(connection)
    assert not granted_again(admission).expired


@pytest.mark.parametrize("seen_by", ["dispatcher", "event", "completion"])
def test_a_run_that_was_launched_does_not_expire_when_it_is_tried_again(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection, in_time: Grant, seen_by: str
) -> None:
    if seen_by == "dispatcher":
        assert admission.launched(in_time.attempt_id, ARN) is Noted.NOTED
    elif seen_by == "event":
        runs.apply([event(in_time.attempt_id, 1, Phase.RUNNING)])
    runs.complete(in_time.attempt_id, COMPLETION, ARN)
    assert runs.retry(in_time.attempt_id, 0) == 2
    expire(connection)
    again = granted_again(admission)
    assert (again.attempt_id, again.expired) == (AttemptId("r", 2), False)
