"""In the moment between Celery's result and the ledger's end everybody already says what they say after it."""

from __future__ import annotations

from typing import Any

import pytest
from celery import states
from celery.exceptions import TaskRevokedError

from dagy_queue.errors import RequestInvalid, RunFailed
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import RedisConnection, RunLedger, RunStatus
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.outcomes.final_words import failed_with, revoked, skipped
from dagy_queue.producer.ends import as_it_ends
from dagy_queue.producer.explanation import find_explanation
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.run import RunHandle
from dagy_queue.producer.status import find_status
from tests.unit.ledger.kit import launched_run, parked_run

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

ENDED = Outcome(kind=Kind.FAILED, summary="the container failed (exit code 4)", exit_code=4, resolution="read the log")
LAST_WORDS = {**ENDED.to_dict(), "resolution": "its max_retries are used up", "log_lines": ["line 1"]}


@pytest.fixture
def stopped(connection: RedisConnection) -> AttemptId:
    """A run whose container has ended."""
    attempt_id = launched_run(connection, "run")
    RunLedger(connection).complete(attempt_id, {"outcome": ENDED.to_dict(), "startedAt": "2026-01-01T00:00:20Z"})
    return attempt_id


def told(publisher: Publisher) -> dict[str, Any]:
    """Return what everybody says of the run, without when it ended: Celery and the ledger each look at a clock."""
    run = RunHandle("run", publisher)
    status: Any = find_status(publisher, "run")
    explained: Any = find_explanation(publisher, "run")
    assert status.pop("completed_at")
    assert explained.pop("ended_at")
    return {"handle": (run.status(), run.outcome()), "status": status, "explained": explained}


@pytest.mark.parametrize(
    ("state", "value", "status", "outcome"),
    [
        (states.FAILURE, RunFailed(LAST_WORDS["summary"], LAST_WORDS), RunStatus.FAILED, LAST_WORDS),
        (states.FAILURE, ValueError("odd"), RunStatus.FAILED, failed_with(ValueError("odd"))),
        (states.REVOKED, TaskRevokedError("too dear"), RunStatus.CANCELLED, revoked("too dear")),
        (states.SUCCESS, {"skipped": True, "exit_code": 4}, RunStatus.SUCCEEDED, skipped(ENDED)),
        (states.SUCCESS, 7, RunStatus.SUCCEEDED, None),
    ],
)
def test_what_is_said_before_the_ledger_hears_of_the_result_is_what_it_says_then(
    publisher: Publisher,
    stopped: AttemptId,
    state: str,
    value: Any,
    status: RunStatus,
    outcome: dict[str, Any] | None,
) -> None:
    publisher.app.backend.store_result("run", value, state)
    before = told(publisher)
    assert publisher.runs.finish(stopped, status, outcome)
    assert before == told(publisher)
    assert before["explained"]["summary"] == (outcome or ENDED.to_dict())["summary"]
    assert (before["status"]["status"], before["status"]["phase"]) == (status.value, status.value)


@pytest.mark.parametrize("state", [states.RETRY, "PARKED", states.STARTED])
def test_a_run_whose_result_is_not_final_is_as_the_ledger_has_it(
    publisher: Publisher, stopped: AttemptId, state: str
) -> None:
    publisher.app.backend.store_result("run", RunFailed("x") if state == states.RETRY else None, state)
    entry = publisher.runs.get(stopped.run_id)
    assert as_it_ends(entry, publisher.app.AsyncResult("run")) == entry
    assert entry.status is RunStatus.RUNNING


def test_an_older_result_says_nothing_of_a_run_that_goes_on(publisher: Publisher, connection: RedisConnection) -> None:
    parked_run(connection, "run")
    publisher.app.backend.store_result("run", 7, states.SUCCESS)
    assert RunHandle("run", publisher).status() is RunStatus.QUEUED


def test_a_request_that_is_wrong_says_what_to_do() -> None:
    assert failed_with(RequestInvalid([]))["resolution"] == "mend the request and launch again"
