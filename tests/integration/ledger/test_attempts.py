"""What the ledger keeps of a run between two attempts."""

from __future__ import annotations

import pytest

from dagy_queue.ledger import AdmissionLedger, Phase, RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger.admission import Limits
from dagy_queue.ledger.attempts import NextAttempt
from dagy_queue.ledger.publications import Continuation
from dagy_queue.ledger.runs import Place
from tests.unit.kit import TASK_ARN
from tests.unit.ledger.kit import launched_run, parked_run

DONE = {"outcome": {"kind": "spot", "summary": "s"}}
ON_DEMAND = NextAttempt(
    counted="spot_retries", change={"on_demand": True}, pool="r/dagy|FARGATE", ended={"kind": "spot"}
)


def spot_run(runs: RunLedger, run_id: str, cpu: int = 256, priority: int = 3) -> None:
    runs.park(
        run_id,
        request={},
        continuation=Continuation("queue", "{}"),
        place=Place(pool="r/dagy|FARGATE_SPOT", org="acme", cpu=cpu, priority=priority),
        expires=None,
        about={},
    )


def test_each_budget_is_counted_by_itself_and_what_is_not_used_has_no_field(
    runs: RunLedger, connection: RedisConnection
) -> None:
    attempt_id = launched_run(connection, "r")
    for counted in ("", "spot_retries", "spot_retries", "oom_retries"):
        runs.complete(attempt_id, DONE)
        runs.retry(attempt_id, 60, NextAttempt(counted=counted))
        attempt_id = type(attempt_id)("r", attempt_id.attempt + 1)
    runs.complete(attempt_id, DONE)
    stopped = runs.claim("r")
    assert stopped is not None
    assert (stopped.retries, stopped.counts) == (4, {"max_retries": 1, "spot_retries": 2, "oom_retries": 1})
    assert runs.get("r").counts == stopped.counts
    fields = connection.client.hkeys(connection.key("run", "r"))
    assert not {"start_retries", "change", "ended_before"} & set(fields)


def test_a_change_reaches_the_grant_and_stays_until_another_one(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    attempt_id = launched_run(connection, "r")
    for again in (NextAttempt(change={"memory": 1024}), NextAttempt()):
        runs.complete(attempt_id, DONE)
        runs.retry(attempt_id, 0, again)
        (grant,) = admission.lease(1, 60).grants
        assert grant.change == {"memory": 1024}
        attempt_id = grant.attempt_id
    runs.complete(attempt_id, DONE)
    stopped = runs.claim("r")
    assert stopped is not None
    assert stopped.change == {"memory": 1024}


def test_a_run_without_changes_has_none(admission: AdmissionLedger, connection: RedisConnection) -> None:
    parked_run(connection, "r")
    (grant,) = admission.lease(1, 60).grants
    assert grant.change == {}


def test_a_run_that_changes_its_pool_takes_its_slot_there_and_keeps_its_org_and_priority(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    spot_run(runs, "r")
    (grant,) = admission.lease(1, 60).grants
    admission.launched(grant.attempt_id, TASK_ARN)
    runs.complete(grant.attempt_id, DONE)
    runs.retry(grant.attempt_id, 0, ON_DEMAND)
    # Quotas of launches are the capacity type's: with none left on Spot, the run goes on.
    (again,) = admission.lease(1, 60, Limits(tasks=1)).grants
    assert again.attempt_id.attempt == 2
    key = connection.key("run", "r")
    assert connection.client.hmget(key, "pool", "org", "priority") == ["r/dagy|FARGATE", "acme", "3"]
    slots = connection.client.hgetall(connection.key("slots", "r/dagy"))
    assert slots == {"tasks": "1", "tasks:acme": "1", "cpu": "256", "cpu:acme": "256"}
    runs.complete(again.attempt_id, DONE)
    assert set(connection.client.hvals(connection.key("slots", "r/dagy"))) == {"0"}


def test_a_shard_that_changes_its_pool_keeps_what_it_has_of_its_batch(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    batch = {
        "pool": "r/dagy|FARGATE_SPOT",
        "org": "acme",
        "priority": "2",
        "cpu": "512",
        "template": "{}",
        "queue": "q",
    }
    connection.client.hset(connection.key("batch", "b"), mapping=batch)
    shard = {"phase": "STOPPED", "attempt": "1", "batch": "b", "shard": "0", "created": "1", "at": "1"}
    connection.client.hset(connection.key("run", "r"), mapping=shard)
    stopped = runs.claim("r")
    assert stopped is not None
    runs.retry(stopped.attempt_id, 0, ON_DEMAND)
    (grant,) = admission.lease(1, 60).grants
    assert (grant.batch_id, grant.shard, grant.change) == ("b", 0, {"on_demand": True})
    assert connection.client.hmget(connection.key("run", "r"), "org", "priority") == ["acme", "2"]
    assert connection.client.hget(connection.key("slots", "r/dagy"), "cpu:acme") == "512"


def test_a_run_that_grows_counts_for_as_many_cpus_as_it_then_has(
    runs: RunLedger, admission: AdmissionLedger, connection: RedisConnection
) -> None:
    spot_run(runs, "r")
    (grant,) = admission.lease(1, 60).grants
    runs.complete(grant.attempt_id, DONE)
    runs.retry(grant.attempt_id, 0, NextAttempt(counted="oom_retries", change={"cpu": 512, "memory": 3072}, cpu=512))
    assert admission.lease(1, 60, Limits(cpu=400)).grants  # larger than the limit: it goes alone
    assert connection.client.hget(connection.key("slots", "r/dagy"), "cpu") == "512"


def test_how_an_attempt_ended_is_kept_while_the_next_one_goes_on_and_cut_to_what_there_is_room_for(
    runs: RunLedger, connection: RedisConnection
) -> None:
    attempt_id = launched_run(connection, "r")
    runs.complete(attempt_id, DONE)
    runs.retry(attempt_id, 60, NextAttempt(ended={"kind": "failed", "detail": "x" * 4000 + "the end", "exit_code": 1}))
    entry = runs.get("r")
    assert (entry.phase, entry.completion) == (Phase.RETRYING, None)
    assert entry.ended_before is not None
    assert (entry.ended_before["exit_code"], len(entry.ended_before["detail"])) == (1, 500)
    assert entry.ended_before["detail"].endswith("the end")
    assert 0 < (runs.due_in("r") or 0) <= 60
    second = type(attempt_id)("r", 2)
    runs.complete(second, DONE)
    runs.finish(second, RunStatus.SUCCEEDED)
    assert (runs.get("r").ended_before, runs.due_in("r")) == (None, None)


@pytest.mark.parametrize(("late", "stays"), [("start", False), ("1", True)])
def test_a_start_that_was_late_is_the_attempts_and_a_timeout_is_the_runs(
    runs: RunLedger, connection: RedisConnection, late: str, stays: bool
) -> None:
    attempt_id = launched_run(connection, "r")
    connection.client.hset(connection.key("run", "r"), "late", late)
    runs.complete(attempt_id, DONE)
    stopped = runs.claim("r")
    assert stopped is not None
    assert (stopped.is_late, stopped.never_started) == (True, not stays)
    runs.retry(attempt_id, 60)
    assert connection.client.hexists(connection.key("run", "r"), "late") == stays
