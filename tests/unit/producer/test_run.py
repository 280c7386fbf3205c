from __future__ import annotations

import pytest
from celery import states

from dagy_queue.errors import ResultTimeout, RunFailed, RunNotFound
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import AdmissionLedger, Phase, RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger.runs import Observation
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.run import RunHandle
from tests.unit.ledger.kit import launched_run, parked_run

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

FAILED = Outcome(kind=Kind.FAILED, summary="no luck", exit_code=1)


@pytest.fixture
def run(publisher: Publisher) -> RunHandle:
    return RunHandle("run", publisher)


def stopped(connection: RedisConnection) -> AttemptId:
    attempt_id = launched_run(connection, "run")
    RunLedger(connection).complete(attempt_id, {"outcome": FAILED.to_dict(), "startedAt": "2026-01-01T00:00:20Z"})
    return attempt_id


def test_a_run_that_nobody_knows_is_not_found(run: RunHandle) -> None:
    for ask in (run.status, run.entry, run.outcome):
        with pytest.raises(RunNotFound):
            ask()


def test_a_run_that_waits_is_queued(run: RunHandle, connection: RedisConnection) -> None:
    parked_run(connection, "run")
    assert (run.entry().phase, run.status(), run.outcome()) == (Phase.HELD, RunStatus.QUEUED, None)


def test_a_run_whose_container_never_ran_was_never_running(run: RunHandle, connection: RedisConnection) -> None:
    RunLedger(connection).complete(launched_run(connection, "run"), {"outcome": FAILED.to_dict()})
    assert run.status() is RunStatus.QUEUED


def test_a_run_whose_result_is_on_its_way_runs(run: RunHandle, connection: RedisConnection) -> None:
    stopped(connection)
    assert run.status() is RunStatus.RUNNING


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (states.SUCCESS, RunStatus.SUCCEEDED),
        (states.FAILURE, RunStatus.FAILED),
        (states.REVOKED, RunStatus.CANCELLED),
        (states.RETRY, RunStatus.RUNNING),
        ("PARKED", RunStatus.RUNNING),
    ],
)
def test_the_status_of_a_stopped_run_is_never_behind_its_result(
    publisher: Publisher, connection: RedisConnection, state: str, status: RunStatus
) -> None:
    stopped(connection)
    publisher.app.backend.store_result("run", RunFailed("x") if state in states.EXCEPTION_STATES else None, state)
    assert RunHandle("run", publisher).status() is status


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_run_that_is_over_has_its_status(run: RunHandle, connection: RedisConnection, status: RunStatus) -> None:
    RunLedger(connection).finish(stopped(connection), status)
    assert run.status() is status


def test_a_run_that_is_over_has_its_outcome(run: RunHandle, connection: RedisConnection) -> None:
    stopped(connection)
    assert run.outcome() == FAILED


def test_a_run_that_is_tried_again_has_no_outcome_yet(run: RunHandle, connection: RedisConnection) -> None:
    RunLedger(connection).retry(stopped(connection), 60)
    assert (run.outcome(), run.status(), run.entry().attempt) == (None, RunStatus.QUEUED, 2)


def test_a_run_is_waited_for_with_a_timeout(run: RunHandle, connection: RedisConnection) -> None:
    parked_run(connection, "run")
    with pytest.raises(ResultTimeout):
        run.get(timeout=0.01)


def test_any_process_can_make_a_handle(process: Publisher, connection: RedisConnection) -> None:
    parked_run(connection, "run")
    assert RunHandle("run").entry().phase is Phase.HELD


def test_a_handle_says_which_run_it_is(run: RunHandle) -> None:
    assert repr(run) == "RunHandle('run')"


def test_a_run_that_runs_says_so(run: RunHandle, connection: RedisConnection) -> None:
    attempt_id = launched_run(connection, "run")
    assert run.status() is RunStatus.QUEUED
    arn = run.entry().task_arn
    RunLedger(connection).apply([Observation(attempt_id=attempt_id, version=3, task_arn=arn, phase=Phase.RUNNING)])
    assert run.status() is RunStatus.RUNNING
    assert AdmissionLedger(connection).lease(1, 60).grants == ()


@pytest.mark.parametrize(("given", "told"), [((), "cancelled"), (("too dear",), "too dear")])
def test_a_run_is_cancelled_for_a_reason(
    run: RunHandle, connection: RedisConnection, given: tuple[str, ...], told: str
) -> None:
    parked_run(connection, "run")
    run.cancel(*given)
    assert run.entry().cancel_reason == told
