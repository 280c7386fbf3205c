"""The launcher: what AWS refuses before RunTask, and what that means for the run and for all others."""

from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.dispatch.services import Services
from dagy_queue.ledger import Phase, RedisConnection
from dagy_queue.outcomes import Kind
from tests.unit.dispatch.conftest import ScriptedAws
from tests.unit.dispatch.launcher_kit import launcher_of, outcome
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
