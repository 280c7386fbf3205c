"""The task of a launch, in this process: what it makes of what messages carry, and of a ledger that fails for good."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from celery import states
from celery.exceptions import Ignore
from structlog.testing import capture_logs

from dagy_queue.dispatch.concluding import RetryRun
from dagy_queue.dispatch.services import Services
from dagy_queue.dispatch.tasks import LaunchTask, register_launch
from dagy_queue.errors import LedgerError, RunFailed, RunNotFound
from dagy_queue.ledger import Phase, RedisConnection, RunLedger
from dagy_queue.ledger.attempts import AS_BEFORE
from dagy_queue.ledger.history import HistoryLedger
from dagy_queue.messaging.names import ATTEMPT_HEADER, LAUNCH_TASK
from dagy_queue.messaging.states import PARKED_STATE
from tests.unit.dispatch.launcher_kit import FLOW
from tests.unit.kit import settings_on
from tests.unit.ledger.kit import launched_run

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@pytest.fixture
def launch(services: Services) -> LaunchTask:
    register_launch(services.app, services)
    task: LaunchTask = services.app.tasks[LAUNCH_TASK]
    return task


@contextmanager
def received(task: LaunchTask, **message: Any) -> Iterator[None]:
    """Be a worker that has received a message."""
    task.push_request(id="run", args=(), kwargs={"request": FLOW}, called_directly=False, **message)
    try:
        yield
    finally:
        task.pop_request()


@pytest.mark.parametrize("junk", ["high", "7", None, [9], {"a": 1}, 1e300, float("inf"), float("nan"), -4, True])
def test_a_message_may_carry_anything_as_its_priority(services: Services, launch: LaunchTask, junk: Any) -> None:
    with received(launch, delivery_info={"priority": junk}), pytest.raises(Ignore):
        launch.run(request=FLOW)
    assert services.runs.get("run").phase is Phase.HELD
    (grant,) = services.admission.lease(1, 60).grants
    assert grant.attempt_id.run_id == "run"


@pytest.mark.parametrize(
    ("parameters", "upstream", "kept"),
    [
        ({"a": "{{ run.of_nobody }}", "b": "{{ x }}"}, (), False),
        ({"a": "{{ run.id }}"}, (), True),
        ({}, ("plain",), False),
        ({}, ({"deep": ["{{ run.id }}"]},), True),
    ],
)
def test_a_launch_is_kept_as_it_was_published_where_its_templates_matter(
    services: Services, launch: LaunchTask, parameters: dict[str, Any], upstream: tuple[Any, ...], kept: bool
) -> None:
    kwargs = {"request": FLOW | {"parameters": parameters}, "receives": "from_before"}
    with received(launch):
        launch.request.args, launch.request.kwargs = upstream, kwargs
        with pytest.raises(Ignore):
            launch.run(*upstream, **kwargs)
    (found,) = HistoryLedger(services.runs.connection).snapshots(["run"])
    assert json.loads(found.unfilled or "null") == ({"args": list(upstream), "kwargs": kwargs} if kept else None)


def has_state(services: Services, state: str) -> None:
    """Have Celery's backend know the run."""
    result = RunFailed("no") if state in states.EXCEPTION_STATES else "done"
    services.app.backend.store_result("run", result, state)


REDELIVERED = {"delivery_info": {"redelivered": True}}


HELD_FOR_ITS_COUNTDOWN = {"eta": "2026-01-01T00:00:00+00:00"}


@pytest.mark.parametrize("state", [states.SUCCESS, states.FAILURE, states.REVOKED])
@pytest.mark.parametrize("message", [REDELIVERED, HELD_FOR_ITS_COUNTDOWN])
def test_a_message_that_comes_again_after_its_run_was_forgotten_launches_nothing(
    services: Services, launch: LaunchTask, state: str, message: dict[str, Any]
) -> None:
    has_state(services, state)
    with received(launch, **message), pytest.raises(Ignore):
        launch.run(request=FLOW)
    with pytest.raises(RunNotFound):
        services.runs.get("run")


@pytest.mark.parametrize("state", [states.RETRY, PARKED_STATE, None])
def test_a_message_that_comes_again_and_whose_run_has_no_end_is_a_first_one(
    services: Services, launch: LaunchTask, state: str | None
) -> None:
    if state:
        has_state(services, state)
    with received(launch, **REDELIVERED), pytest.raises(Ignore):
        launch.run(request=FLOW)
    assert services.runs.get("run").phase is Phase.HELD


@pytest.mark.parametrize("state", [states.SUCCESS, states.FAILURE, states.REVOKED])
def test_a_first_message_that_comes_again_overwrites_no_result_in_a_redis_of_its_own(
    services: Services, connection: RedisConnection, state: str
) -> None:
    apart = settings_on(connection, redis={"url": connection.settings.url, "result_url": connection.settings.url})
    register_launch(services.app, replace(services, settings=apart))
    launch = services.app.tasks[LAUNCH_TASK]
    with received(launch), pytest.raises(Ignore):
        launch.run(request=FLOW)
    assert services.app.AsyncResult("run").state == PARKED_STATE
    has_state(services, state)
    with received(launch, **REDELIVERED), pytest.raises(Ignore):
        launch.run(request=FLOW)
    assert services.app.AsyncResult("run").state == state


def test_an_id_may_be_launched_anew_when_its_run_was_forgotten(services: Services, launch: LaunchTask) -> None:
    has_state(services, states.SUCCESS)
    with received(launch), pytest.raises(Ignore):
        launch.run(request=FLOW)
    assert services.runs.get("run").phase is Phase.HELD


def test_a_run_on_which_a_script_fails_in_its_first_pass_fails_with_it_at_once(
    services: Services, launch: LaunchTask, connection: RedisConnection
) -> None:
    connection.client.set(connection.key("lane", "us-east-1/dagy|FARGATE", "acme"), "no lane")
    with received(launch):
        with pytest.raises(LedgerError, match="WRONGTYPE") as caught:
            launch.run(request=FLOW)
        launch.backend.mark_as_failure("run", caught.value)  # as Celery does
        launch.after_return("FAILURE", caught.value, "run", (), {}, None)
    entry = services.runs.get("run")
    assert entry.phase is Phase.FAILED
    assert entry.completion is not None
    assert "WRONGTYPE" in entry.completion["outcome"]["summary"]


def test_a_run_that_cannot_be_tried_again_fails_instead(
    services: Services, launch: LaunchTask, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.runs.complete(launched_run(connection, "run"), {"outcome": {"kind": "failed", "summary": "exit code 3"}})

    def fail(*_: Any) -> None:
        raise LedgerError("user_script:7")

    monkeypatch.setattr(RunLedger, "retry", fail)
    with received(launch, **{ATTEMPT_HEADER: 1}):
        launch.request.dagy_retry = RetryRun(RunFailed("exit code 3"), 1.0, AS_BEFORE)
        launch.on_retry(RunFailed("exit code 3"), "run", (), {}, None)
    result = services.app.AsyncResult("run")
    assert result.state == "FAILURE"
    with pytest.raises(LedgerError, match="user_script:7"):
        result.get(timeout=5)
    assert services.runs.get("run").phase is Phase.FAILED


def test_a_result_stands_also_where_the_ledger_cannot_be_told(launch: LaunchTask, connection: RedisConnection) -> None:
    connection.client.set(connection.key("run", "run"), "no run")
    with received(launch, **{ATTEMPT_HEADER: 1}), capture_logs() as logs:
        launch.after_return("SUCCESS", "done", "run", (), {}, None)
    assert [(line["event"], line["log_level"]) for line in logs] == [("run_not_closed", "error")]
