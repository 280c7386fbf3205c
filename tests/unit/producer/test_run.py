from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import states

from dagy_queue.errors import (
    AwsRefused,
    RedisUnavailable,
    RequestInvalid,
    ResultExpired,
    ResultTimeout,
    RunCancelled,
    RunFailed,
    RunNotFound,
)
from dagy_queue.ids import AttemptId
from dagy_queue.launching import results
from dagy_queue.ledger import AdmissionLedger, Continuation, Phase, RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger.runs import Observation
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.producer import kept
from dagy_queue.producer.explanation import find_explanation
from dagy_queue.producer.fan_out import fan_out
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.queued import QueuedLaunches
from dagy_queue.producer.run import RunHandle
from dagy_queue.producer.status import find_status
from dagy_queue.records.runs import RunRecord
from dagy_queue.requests import LaunchRequest
from dagy_queue.settings import load_settings
from tests.unit.ledger.kit import granted_run, launched_run, parked_run
from tests.unit.producer.conftest import on

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

NOW = datetime(2026, 1, 1, tzinfo=UTC)
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


def test_a_handle_is_made_of_an_id_alone(run: RunHandle, publisher: Publisher) -> None:
    not_an_id: list[Any] = [run, None, 7, ""]
    for wrong in not_an_id:
        with pytest.raises(RequestInvalid, match=r"run_id = .*: the id of a run"):
            RunHandle(wrong, publisher)


def test_a_run_that_waits_is_queued(run: RunHandle, connection: RedisConnection) -> None:
    parked_run(connection, "run")
    assert (run.entry().phase, run.status(), run.outcome()) == (Phase.HELD, RunStatus.QUEUED, None)


def test_a_redis_of_results_that_is_away_is_an_error_of_ours(connection: RedisConnection) -> None:
    apart = load_settings(redis={"url": connection.settings.url, "result_url": "redis://127.0.0.1:1/0"})
    publisher = Publisher.build(apart)
    run = QueuedLaunches(publisher=publisher).publish("run", LaunchRequest(flow_name="etl", org_id="acme"))
    batch = fan_out(flow_name="etl", org_id="acme", shards=[{}], launcher=on(publisher))
    connection.client.rpush(connection.key("batch", batch.batch_id, "done"), 0)
    asks: list[Callable[[], object]] = [
        *(run.status, run.retry, run.get, batch.get),
        lambda: find_status(publisher, "run"),
        lambda: find_explanation(publisher, "run"),
        lambda: list(batch.results()),
        lambda: next(batch.as_completed()),
    ]
    for ask in asks:
        with pytest.raises(RedisUnavailable) as caught:
            ask()
        assert str(caught.value).startswith("Redis at redis://127.0.0.1:1/0 cannot be reached")
    publisher.redis.close()


def test_a_run_whose_container_never_ran_was_never_running(run: RunHandle, connection: RedisConnection) -> None:
    RunLedger(connection).complete(launched_run(connection, "run"), {"outcome": FAILED.to_dict()})
    assert run.status() is RunStatus.QUEUED


def test_a_run_whose_result_is_on_its_way_runs(run: RunHandle, connection: RedisConnection) -> None:
    stopped(connection)
    assert run.status() is RunStatus.RUNNING


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


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> dict[str, RunRecord]:
    """The records of runs."""
    found: dict[str, RunRecord] = {}
    monkeypatch.setattr(kept, "find_record", found.get)
    return found


def record(status: str, **fields: Any) -> RunRecord:
    """Return the record of a run that is over."""
    told = {"org_id": "acme", "correlation_id": "c", "task_arn": "arn", "attempt": 2, "completed_at": NOW, **fields}
    return RunRecord(run_id="run", status=status, phase=status, created_at=NOW, **told)


@pytest.mark.usefixtures("records")
def test_a_run_that_nobody_knows_is_not_waited_for(run: RunHandle) -> None:
    with pytest.raises(RunNotFound, match="nor is there a record of it"):
        run.get()


def test_a_run_whose_record_cannot_be_read_is_not_waited_for(run: RunHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: str) -> None:
        raise AwsRefused("dynamodb:GetItem: not allowed", code="AccessDeniedException")

    monkeypatch.setattr(kept, "find_record", refused)
    with pytest.raises(RunNotFound, match=r"whether there is a record of it is not known: .*not allowed"):
        run.get()


def test_a_run_that_the_ledger_has_lost_is_not_waited_for(run: RunHandle, records: dict[str, RunRecord]) -> None:
    records["run"] = record("RUNNING", completed_at=None)
    with pytest.raises(RunNotFound, match=r"its record says RUNNING: .*get_run_status\('run'\)"):
        run.get()


@pytest.mark.usefixtures("records")
def test_a_run_that_has_just_been_published_is_waited_for(run: RunHandle, publisher: Publisher) -> None:
    publisher.runs.publish("run", Continuation("queue", "{}"), push=True, about={})
    with pytest.raises(ResultTimeout):
        run.get(timeout=0.01)


@pytest.mark.usefixtures("records")
def test_a_result_is_there_for_as_long_as_celery_keeps_it(run: RunHandle, publisher: Publisher) -> None:
    publisher.app.backend.store_result("run", 7, states.SUCCESS)
    assert run.get() == 7


def test_a_run_known_by_its_record_alone_tells_how_it_ended(run: RunHandle, records: dict[str, RunRecord]) -> None:
    records["run"] = record("FAILED", error_message="no luck", outcome=FAILED.to_dict())
    with pytest.raises(RunFailed, match="no luck") as caught:
        run.get()
    assert caught.value.outcome == FAILED.to_dict()
    records["run"] = record("CANCELLED", error_message="too dear")
    with pytest.raises(RunCancelled, match="run run was cancelled: too dear"):
        run.get()


@pytest.mark.parametrize(("exit_code", "skipped"), [(0, {}), (99, {"skipped": True}), (None, {})])
def test_a_container_known_by_its_record_alone_has_its_result(
    run: RunHandle, records: dict[str, RunRecord], exit_code: int | None, skipped: dict[str, bool]
) -> None:
    records["run"] = record("SUCCEEDED", outcome={"kind": "succeeded", "exit_code": exit_code})
    told = {"run_id": "run", "correlation_id": "c", "exit_code": exit_code, "task_arn": "arn"}
    assert run.get() == told | skipped


def test_a_flow_known_by_its_record_alone_has_its_result_in_s3(
    run: RunHandle, records: dict[str, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    records["run"] = record("SUCCEEDED", flow_version="1.0.0")
    reports = {("acme", AttemptId("run", 2)): [1, 2]}
    monkeypatch.setattr(results, "find_result", lambda _, org, attempt: reports[org, attempt])
    assert run.get() == [1, 2]


def test_a_flow_whose_result_is_nowhere_any_more_says_so(run: RunHandle, records: dict[str, RunRecord]) -> None:
    records["run"] = record("SUCCEEDED", flow_version="1.0.0")
    with pytest.raises(ResultExpired, match="nor in S3: no bucket is configured"):
        run.get()


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_run_whose_result_went_before_its_entry_answers_from_the_ledger(
    run: RunHandle, connection: RedisConnection, status: RunStatus
) -> None:
    attempt_id = granted_run(connection, "run", {"kind": "container", "org_id": "acme", "image": "i"}).attempt_id
    RunLedger(connection).complete(attempt_id, {"outcome": {"kind": "x", "summary": "why", "exit_code": 0}})
    RunLedger(connection).finish(attempt_id, status)
    if status is RunStatus.SUCCEEDED:
        assert run.get()["exit_code"] == 0
        return
    with pytest.raises(RunFailed if status is RunStatus.FAILED else RunCancelled, match="why"):
        run.get()


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
