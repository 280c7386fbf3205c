"""The launcher stops tasks that nobody wants, and cancelled runs end as cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.dispatch.services import Services
from dagy_queue.ledger import Phase, RedisConnection
from dagy_queue.ledger.admission import Unwanted
from dagy_queue.ledger.sweeps import SweepLedger
from dagy_queue.outcomes import Kind
from tests.unit.dispatch.conftest import ScriptedAws
from tests.unit.dispatch.launcher_kit import FLOW, accepts, knows_definition, launcher_of, outcome
from tests.unit.kit import TASK_ARN
from tests.unit.ledger.kit import granted_run


@pytest.fixture
def stopped(aws: ScriptedAws) -> list[dict[str, Any]]:
    """The parameters of every call of StopTask."""
    calls: list[dict[str, Any]] = []
    aws.ecs.meta.events.register("provide-client-params.ecs.StopTask", lambda params, **_: calls.append(params))
    return calls


def cancel_in_submission(services: Services, connection: RedisConnection) -> Any:
    grant = granted_run(connection, "run", FLOW)
    services.runs.cancel("run", "not wanted", {"outcome": {"kind": "cancelled", "summary": "s"}})
    return grant


def test_a_run_that_was_cancelled_while_it_was_launched_has_its_task_stopped_by_a_pump(
    services: Services, aws: ScriptedAws, connection: RedisConnection
) -> None:
    knows_definition(aws)
    accepts(aws)
    launcher_of(services).launch(cancel_in_submission(services, connection))
    assert services.runs.get("run").phase is Phase.SUBMITTED
    assert services.admission.lease(1, 60).unwanted == (Unwanted(TASK_ARN, "not wanted"),)


def test_a_task_that_no_run_owns_is_asked_again_by_the_next_who_finds_it_if_ecs_did_not_hear(
    services: Services, aws: ScriptedAws, connection: RedisConnection, stopped: list[dict[str, Any]]
) -> None:
    sweeps, launcher = SweepLedger(connection), launcher_of(services)
    aws.ecs_stub.add_client_error("stop_task", "ThrottlingException")
    aws.ecs_stub.add_response("stop_task", {})
    for _ in range(3):
        sweeps.unwanted([TASK_ARN])
        for task in services.admission.lease(1, 60).unwanted:
            launcher.stop_unwanted(task.task_arn, task.reason)
    assert [call["task"] for call in stopped] == [TASK_ARN] * 2


def test_a_task_whose_run_is_over_is_stopped_at_once(
    services: Services, aws: ScriptedAws, connection: RedisConnection, stopped: list[dict[str, Any]]
) -> None:
    knows_definition(aws)
    accepts(aws)
    grant = granted_run(connection, "run", FLOW)
    services.runs.complete(grant.attempt_id, {"outcome": {"kind": "failed", "summary": "lost"}})
    aws.ecs_stub.add_response("stop_task", {})
    launcher_of(services).launch(grant)
    assert [call["task"] for call in stopped] == [TASK_ARN]


def test_stopping_a_task_whose_run_is_over_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
    services: Services,
    aws: ScriptedAws,
    connection: RedisConnection,
    stopped: list[dict[str, Any]],
) -> None:
    monkeypatch.setattr("dagy_queue.dispatch.launcher._STOP_DELAY", 0.0)
    knows_definition(aws)
    accepts(aws)
    grant = granted_run(connection, "run", FLOW)
    services.runs.complete(grant.attempt_id, {"outcome": {"kind": "failed", "summary": "lost"}})
    for _ in range(2):
        aws.ecs_stub.add_client_error("stop_task", "ThrottlingException", "Rate exceeded")
    aws.ecs_stub.add_response("stop_task", {})
    launcher = launcher_of(services)
    launcher.launch(grant)
    assert len(stopped) == 3
    assert launcher._metrics.registry.get_sample_value("dagy_stops_total") == 3


def test_a_run_that_was_cancelled_and_refused_ends_as_cancelled(
    services: Services, aws: ScriptedAws, connection: RedisConnection
) -> None:
    knows_definition(aws)
    aws.ecs_stub.add_client_error("run_task", "ThrottlingException", "Rate exceeded")
    launcher_of(services).launch(cancel_in_submission(services, connection))
    assert outcome(services.runs.get("run")).kind is Kind.CANCELLED


def test_a_task_is_stopped_with_a_reason_that_fits(
    services: Services, aws: ScriptedAws, stopped: list[dict[str, Any]]
) -> None:
    aws.ecs_stub.add_response("stop_task", {})
    launcher_of(services).stop_unwanted(TASK_ARN, "x" * 300)
    (call,) = stopped
    assert (call["cluster"], call["task"]) == ("dagy", TASK_ARN)
    assert call["reason"] == ("dagy: " + "x" * 300)[:255]


def test_a_task_that_cannot_be_stopped_now_is_left_to_the_ledger(
    services: Services, aws: ScriptedAws, stopped: list[dict[str, Any]]
) -> None:
    aws.ecs_stub.add_client_error("stop_task", "ThrottlingException", "Rate exceeded")
    launcher_of(services).stop_unwanted(TASK_ARN, "no")
    assert len(stopped) == 1
