"""The launcher: what AWS refuses before RunTask, and what that means for the run and for all others."""

from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.dispatch.services import Services
from dagy_queue.errors import AwsThrottled
from dagy_queue.launching.flows import FlowResolver
from dagy_queue.ledger import Phase, RedisConnection
from dagy_queue.outcomes import Kind
from dagy_queue.records.flows import RegisteredFlow
from tests.unit.dispatch.conftest import ScriptedAws
from tests.unit.dispatch.launcher_kit import FLOW, knows_definition, launcher_of, outcome
from tests.unit.ledger.kit import granted_run

EXISTING = {"kind": "container", "task_definition": "job", "org_id": "acme", "correlation_id": "trace"}
IMAGE = {"kind": "container", "image": "job:1", "org_id": "acme", "correlation_id": "trace"}


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
@pytest.mark.parametrize("request_", [EXISTING, IMAGE])
def test_a_dispatcher_that_may_not_ask_for_a_definition_for_its_credentials_fails_no_run(
    services: Services, aws: ScriptedAws, connection: RedisConnection, code: str, request_: dict[str, Any]
) -> None:
    aws.control_stub.add_client_error("describe_task_definition", code, "The security token is expired")
    launcher_of(services).launch(granted_run(connection, "run", request_))
    entry = services.runs.get("run")
    assert (entry.phase, entry.attempt) == (Phase.HELD, 1)
    assert code in entry.refusal
    aws.control_stub.assert_no_pending_responses()


def test_a_dispatcher_that_may_not_describe_an_existing_definition_ends_the_run(
    services: Services, aws: ScriptedAws, connection: RedisConnection
) -> None:
    aws.control_stub.add_client_error("describe_task_definition", "AccessDeniedException", "not authorized")
    launcher_of(services).launch(granted_run(connection, "run", EXISTING))
    entry = services.runs.get("run")
    assert (entry.phase, outcome(entry).kind) == (Phase.STOPPED, Kind.START_FAILED)
    assert "'job'" in outcome(entry).summary


def lowered(connection: RedisConnection) -> list[str]:
    """Return the regions in which RunTask was throttled."""
    return list(connection.client.scan_iter(connection.key("throttle", "*")))


def throttled_registry(*_: str) -> RegisteredFlow | None:
    raise AwsThrottled("dynamodb:GetItem: slow down", code="ThrottlingException", operation="dynamodb:GetItem")


def test_a_throttle_of_the_registry_lowers_the_rate_of_no_launch(
    services: Services, connection: RedisConnection
) -> None:
    launcher = launcher_of(services)
    launcher._planner._flows = FlowResolver(10, throttled_registry)
    launcher.launch(granted_run(connection, "run", FLOW))
    entry = services.runs.get("run")
    assert (entry.phase, entry.attempt) == (Phase.HELD, 1)
    assert "dynamodb:GetItem" in entry.refusal
    assert not lowered(connection)


@pytest.mark.parametrize("operation", ["describe_task_definition", "register_task_definition"])
def test_a_throttle_of_a_definition_lowers_the_rate_of_no_launch(
    services: Services, aws: ScriptedAws, connection: RedisConnection, operation: str
) -> None:
    if operation == "register_task_definition":
        aws.control_stub.add_client_error("describe_task_definition", "ClientException", "Unable to describe")
    aws.control_stub.add_client_error(operation, "ThrottlingException", "Rate exceeded")
    launcher_of(services).launch(granted_run(connection, "run", FLOW))
    assert services.runs.get("run").phase is Phase.HELD
    assert not lowered(connection)


def test_a_throttle_of_s3_lowers_the_rate_of_no_launch(
    services: Services, aws: ScriptedAws, connection: RedisConnection
) -> None:
    knows_definition(aws)
    aws.s3_stub.add_client_error("put_object", "SlowDown", "Please reduce your request rate.")
    launcher_of(services).launch(granted_run(connection, "run", FLOW | {"parameters": {"rows": ["x" * 100] * 100}}))
    assert services.runs.get("run").phase is Phase.HELD
    assert not lowered(connection)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ThrottlingException", "Rate exceeded"),
        ("InvalidParameterException", "Rate exceeded (ErrorCode: Throttling)"),
    ],
)
def test_a_throttle_of_run_task_concerns_all_launches(
    services: Services, aws: ScriptedAws, connection: RedisConnection, code: str, message: str
) -> None:
    knows_definition(aws)
    aws.ecs_stub.add_client_error("run_task", code, message)
    launcher_of(services).launch(granted_run(connection, "run", FLOW))
    assert lowered(connection)
