"""The launcher: what a granted run's launch comes to, whatever ECS answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dagy.contract import Env, RunSpec
from dagy_queue.dispatch.services import Services
from dagy_queue.ids import AttemptId
from dagy_queue.launching.flows import FlowResolver
from dagy_queue.ledger import AdmissionLedger, Grant, Phase, RedisConnection, RunEntry
from dagy_queue.outcomes import Kind
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.settings import RedisSettings, load_settings
from tests.unit.dispatch.conftest import ScriptedAws
from tests.unit.dispatch.launcher_kit import DEFINITION_ARN, FLOW, accepts, knows_definition, launcher_of, outcome
from tests.unit.kit import TASK_ARN
from tests.unit.launching.kit import find_flow
from tests.unit.ledger.kit import RESUMED, granted_run

FAILED = {"outcome": {"kind": "failed", "summary": "s"}}
CONTAINER = {"kind": "container", "image": "job:1", "org_id": "acme", "correlation_id": "trace"}

Launched = Callable[..., RunEntry]


@pytest.fixture
def launched(services: Services, aws: ScriptedAws, connection: RedisConnection) -> Launched:
    """Launch a run and return what the ledger knows of it then."""

    def launch(request: Mapping[str, Any] = FLOW, *, definition: bool = True) -> RunEntry:
        if definition:
            knows_definition(aws)
        launcher_of(services).launch(granted_run(connection, "run", request))
        return services.runs.get("run")

    return launch


def fails(aws: ScriptedAws, reason: str) -> None:
    aws.ecs_stub.add_response("run_task", {"tasks": [], "failures": [{"reason": reason}]})


def environment(aws: ScriptedAws, call: int = 0) -> dict[str, str]:
    (container,) = aws.run_task_calls[call]["overrides"]["containerOverrides"]
    return {pair["name"]: pair["value"] for pair in container["environment"]}


def specs(aws: ScriptedAws) -> list[RunSpec]:
    return [RunSpec.from_json(environment(aws, call)[Env.RUN_SPEC]) for call in range(len(aws.run_task_calls))]


def pushed_since(org_id: str, name: str, version: str) -> RegisteredFlow | None:
    """The registry after somebody pushed version 8 and deprecated 7."""
    found = find_flow(org_id, name, "8" if version == "latest" else version)
    is_old = found is not None and found.version == "7"
    return replace(found, status="INACTIVE", status_reason="loses rows") if found and is_old else found


def test_a_flow_is_launched(aws: ScriptedAws, launched: Launched) -> None:
    accepts(aws)
    entry = launched()
    assert (entry.phase, entry.task_arn) == (Phase.SUBMITTED, TASK_ARN)
    (call,) = aws.run_task_calls
    assert (call["taskDefinition"], call["clientToken"], call["startedBy"]) == (DEFINITION_ARN, "run-1", "dagy/run/1")


def test_the_container_gets_the_version_that_latest_means_now(aws: ScriptedAws, launched: Launched) -> None:
    accepts(aws)
    launched()
    spec = RunSpec.from_json(environment(aws)[Env.RUN_SPEC])
    assert (spec.flow_name, spec.flow_version, spec.artifact_uri) == ("etl", "7", "s3://artifacts/etl.zip")
    assert spec.result_uri == "s3://artifacts/results/acme/run/1/report.json"
    assert spec.traces_uri == "s3://traces/exceptions/acme/run/traceback.txt"


def test_a_later_attempt_runs_the_version_of_the_first_whatever_was_pushed_or_deprecated_since(
    services: Services, aws: ScriptedAws, connection: RedisConnection
) -> None:
    knows_definition(aws)
    accepts(aws)
    accepts(aws)
    launcher = launcher_of(services)
    launcher.launch(granted_run(connection, "run", FLOW))
    services.runs.complete(AttemptId("run", 1), FAILED)
    services.runs.retry(AttemptId("run", 1), 0)
    launcher._planner._flows = FlowResolver(10, pushed_since)
    launcher.launch(*services.admission.lease(1, 60).grants)
    assert [spec.flow_version for spec in specs(aws)] == ["7", "7"]
    assert [spec.attempt for spec in specs(aws)] == [1, 2]
    entry = services.runs.get("run")
    assert (entry.flow_version, entry.artifact_sha256) == ("7", "0" * 64)


def test_a_dispatcher_that_reads_another_latest_launches_what_the_run_began_with(
    services: Services, aws: ScriptedAws, connection: RedisConnection
) -> None:
    knows_definition(aws)
    accepts(aws)
    grant = granted_run(connection, "run", FLOW)
    services.admission.pin("run", "7")  # another dispatcher, which died before it called RunTask
    launcher = launcher_of(services)
    launcher._planner._flows = FlowResolver(10, pushed_since)
    launcher.launch(grant)
    assert [spec.flow_version for spec in specs(aws)] == ["7"]


def test_a_deprecated_version_ends_the_run_with_what_to_do(
    services: Services, aws: ScriptedAws, connection: RedisConnection
) -> None:
    launcher = launcher_of(services)
    launcher._planner._flows = FlowResolver(10, pushed_since)
    launcher.launch(granted_run(connection, "run", FLOW | {"flow_version": "7"}))
    found = outcome(services.runs.get("run"))
    assert (found.kind, aws.run_task_calls) == (Kind.START_FAILED, [])
    assert "'etl' version '7' of org 'acme' is deprecated (loses rows)" in found.summary


def test_a_container_is_launched_from_its_own_image(aws: ScriptedAws, launched: Launched) -> None:
    aws.control_stub.add_client_error("describe_task_definition", "ClientException", "Unable to describe")
    aws.control_stub.add_response("register_task_definition", {"taskDefinition": {"taskDefinitionArn": DEFINITION_ARN}})
    images: list[str] = []
    aws.ecs_control.meta.events.register(
        "provide-client-params.ecs.RegisterTaskDefinition",
        lambda params, **_: images.append(params["containerDefinitions"][0]["image"]),
    )
    accepts(aws)
    assert launched(CONTAINER, definition=False).phase is Phase.SUBMITTED
    assert images == ["job:1"]


def test_a_spec_that_is_too_large_goes_to_s3(aws: ScriptedAws, launched: Launched) -> None:
    bodies: list[bytes] = []
    aws.s3.meta.events.register("provide-client-params.s3.PutObject", lambda params, **_: bodies.append(params["Body"]))
    aws.s3_stub.add_response("put_object", {})
    accepts(aws)
    rows = ["x" * 100] * 100
    launched(FLOW | {"parameters": {"rows": rows}})
    assert environment(aws)[Env.RUN_SPEC_URI] == "s3://artifacts/results/acme/run/1/spec.json"
    assert RunSpec.from_json(bodies[0].decode()).parameters == {"rows": rows}


def test_a_spec_that_is_too_large_needs_a_bucket(
    services: Services, aws: ScriptedAws, connection: RedisConnection
) -> None:
    knows_definition(aws)
    config = load_settings(redis={"url": connection.settings.url})
    launcher = launcher_of(replace(services, settings=config))
    launcher.launch(granted_run(connection, "run", FLOW | {"parameters": {"rows": ["x" * 100] * 100}}))
    assert outcome(services.runs.get("run")).kind is Kind.START_FAILED


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ThrottlingException", "Rate exceeded"),
        ("InvalidParameterException", "Rate exceeded (ErrorCode: Throttling)"),
        ("ServerException", "Internal error"),
    ],
)
def test_a_launch_that_may_work_later_is_held_under_the_same_token(
    aws: ScriptedAws, launched: Launched, code: str, message: str
) -> None:
    aws.ecs_stub.add_client_error("run_task", code, message)
    entry = launched()
    assert (entry.phase, entry.attempt) == (Phase.HELD, 1)
    assert code in entry.refusal


@pytest.mark.parametrize(
    "reason",
    [
        "RESOURCE:MEMORY",
        "RESOURCE:ENI",
        "AGENT",
        "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        "You\u2019ve reached the limit on the number of vCPUs you can run concurrently",
    ],
)
def test_a_launch_without_room_is_held_under_a_new_token(aws: ScriptedAws, launched: Launched, reason: str) -> None:
    fails(aws, reason)
    entry = launched()
    assert (entry.phase, entry.attempt, entry.retries) == (Phase.HELD, 2, 0)


def test_an_answer_with_neither_task_nor_failure_is_asked_again(aws: ScriptedAws, launched: Launched) -> None:
    aws.ecs_stub.add_response("run_task", {"tasks": [], "failures": []})
    entry = launched()
    assert (entry.phase, entry.attempt) == (Phase.HELD, 1)


@pytest.mark.parametrize(
    ("code", "message"),
    [("AccessDeniedException", "not authorized"), ("ClusterNotFoundException", "Cluster not found.")],
)
def test_a_launch_that_will_never_work_ends_the_run(
    aws: ScriptedAws, launched: Launched, connection: RedisConnection, code: str, message: str
) -> None:
    aws.ecs_stub.add_client_error("run_task", code, message)
    entry = launched()
    assert (entry.phase, outcome(entry).kind) == (Phase.STOPPED, Kind.START_FAILED)
    assert code in outcome(entry).summary
    assert connection.client.llen(RESUMED) == 1


def test_a_failure_that_is_not_about_room_ends_the_run(aws: ScriptedAws, launched: Launched) -> None:
    fails(aws, "ATTRIBUTE")
    assert outcome(launched()).kind is Kind.START_FAILED


def test_a_flow_that_nobody_registered_ends_the_run(aws: ScriptedAws, launched: Launched) -> None:
    entry = launched(FLOW | {"flow_name": "unknown"}, definition=False)
    assert outcome(entry).kind is Kind.START_FAILED
    assert "unknown" in outcome(entry).summary


def test_a_request_that_cannot_be_read_ends_the_run(launched: Launched) -> None:
    entry = launched({"kind": "flow", "org_id": "acme"}, definition=False)
    assert outcome(entry).kind is Kind.START_FAILED


def test_the_task_that_a_conflict_names_is_adopted(aws: ScriptedAws, launched: Launched) -> None:
    aws.ecs_stub.add_client_error("run_task", "ConflictException", modeled_fields={"resourceIds": [TASK_ARN]})
    entry = launched()
    assert (entry.phase, entry.task_arn) == (Phase.SUBMITTED, TASK_ARN)


def test_a_conflict_that_names_no_task_ends_the_run(aws: ScriptedAws, launched: Launched) -> None:
    aws.ecs_stub.add_client_error("run_task", "ConflictException", modeled_fields={"resourceIds": []})
    assert outcome(launched()).kind is Kind.START_FAILED


class EcsThatDeregistered:
    """An ECS where somebody deregistered the first revision of a task definition."""

    def __init__(self) -> None:
        self.launched: list[str] = []
        self._revisions = 1

    def describe_task_definition(self, **_: Any) -> Any:
        return {"taskDefinition": {"taskDefinitionArn": f"{DEFINITION_ARN[:-1]}{self._revisions}"}}

    def register_task_definition(self, **_: Any) -> Any:
        self._revisions += 1
        return self.describe_task_definition()

    def run_task(self, **parameters: Any) -> Any:
        if parameters["taskDefinition"] == DEFINITION_ARN:
            self._revisions = max(2, self._revisions)
            error = {"Code": "ClientException", "Message": "TaskDefinition is inactive"}
            raise ClientError({"Error": error}, "RunTask")  # type: ignore[typeddict-item]
        self.launched.append(parameters["taskDefinition"])
        return {"tasks": [{"taskArn": TASK_ARN}], "failures": []}


def test_a_task_definition_that_ecs_no_longer_accepts_is_not_used_for_ever(
    services: Services, connection: RedisConnection
) -> None:
    ecs = EcsThatDeregistered()
    clients: Any = SimpleNamespace(ecs=ecs, ecs_control=ecs, s3=None)
    clients.in_region = lambda _: clients
    launcher = launcher_of(replace(services, aws=clients))
    for run_id in ("one", "two"):
        launcher.launch(granted_run(connection, run_id, FLOW))
    assert ecs.launched[-1:] == [DEFINITION_ARN[:-1] + "2"]


def test_a_run_that_expired_while_it_waited_is_not_launched(
    services: Services, connection: RedisConnection, aws: ScriptedAws
) -> None:
    grant = replace(granted_run(connection, "run", FLOW), expired=True)
    launcher_of(services).launch(grant)
    assert outcome(services.runs.get("run")).kind is Kind.CANCELLED
    assert aws.run_task_calls == []


def test_a_run_that_aws_refuses_for_too_long_fails(
    services: Services, aws: ScriptedAws, connection: RedisConnection
) -> None:
    config = load_settings(redis={"url": connection.settings.url}, dispatch={"start_timeout": 0.001})
    launcher = launcher_of(replace(services, settings=config))
    knows_definition(aws)
    fails(aws, "RESOURCE:MEMORY")
    grant = granted_run(connection, "run", FLOW)
    connection.client.hset(connection.key("run", "run"), "refused", "1")
    launcher.launch(grant)
    assert outcome(services.runs.get("run")).kind is Kind.CAPACITY


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_a_dispatcher_whose_credentials_aws_does_not_take_fails_no_run(
    services: Services, aws: ScriptedAws, connection: RedisConnection, code: str
) -> None:
    knows_definition(aws)
    aws.ecs_stub.add_client_error("run_task", code, "The security token included in the request is expired")
    launcher = launcher_of(services)
    launcher.launch(granted_run(connection, "run", FLOW))
    assert services.runs.get("run").phase is Phase.HELD
    accepts(aws)
    launcher.launch(granted_again(services, connection))
    assert services.runs.get("run").phase is Phase.SUBMITTED


def with_most_attempts(services: Services, most: int) -> Services:
    config = services.settings
    dispatch = config.dispatch.model_copy(update={"max_run_task_attempts": most})
    return replace(services, settings=config.model_copy(update={"dispatch": dispatch}))


def granted_again(services: Services, connection: RedisConnection) -> Grant:
    """Let the delay of the run that is held be over, and lease it."""
    connection.client.zadd(connection.key("delayed"), {"run": 0}, xx=True)
    (grant,) = services.admission.lease(1, 60).grants
    return grant


@pytest.mark.parametrize(("most", "kinds"), [(1, [Kind.CAPACITY]), (2, [None, Kind.CAPACITY])])
def test_a_run_that_finds_no_room_is_tried_as_often_as_is_allowed(
    services: Services, aws: ScriptedAws, connection: RedisConnection, most: int, kinds: list[Kind | None]
) -> None:
    launcher = launcher_of(with_most_attempts(services, most))
    knows_definition(aws)
    grant = granted_run(connection, "run", FLOW)
    for number, kind in enumerate(kinds, start=1):
        fails(aws, "RESOURCE:MEMORY")
        launcher.launch(grant)
        entry = services.runs.get("run")
        assert (outcome(entry).kind if entry.completion else None) is kind
        if kind is None:
            grant = granted_again(services, connection)
            assert grant.attempt_id.attempt == number + 1
    assert f"in {most} tries" in outcome(services.runs.get("run")).summary


def test_throttles_are_not_counted_as_tries(services: Services, aws: ScriptedAws, connection: RedisConnection) -> None:
    launcher = launcher_of(with_most_attempts(services, 1))
    knows_definition(aws)
    grant = granted_run(connection, "run", FLOW)
    for _ in range(3):
        aws.ecs_stub.add_client_error("run_task", "ThrottlingException", "Rate exceeded")
        launcher.launch(grant)
        assert services.runs.get("run").phase is Phase.HELD
        grant = granted_again(services, connection)


def test_a_run_is_launched_and_stopped_where_its_cluster_is(
    services: Services, aws: ScriptedAws, launched: Launched
) -> None:
    accepts(aws)
    launched(FLOW | {"cluster": "arn:aws:ecs:eu-west-3:123456789012:cluster/nightly"})
    assert set(aws.regions) == {"eu-west-3"}
    aws.ecs_stub.add_response("stop_task", {})
    launcher_of(services).stop_unwanted("arn:aws:ecs:eu-west-1:123456789012:task/other/1", "no")
    assert aws.regions[-1] == "eu-west-1"


def test_a_launch_that_redis_does_not_hear_of_comes_again(
    services: Services, aws: ScriptedAws, connection: RedisConnection
) -> None:
    knows_definition(aws)
    accepts(aws)
    nowhere = RedisConnection(RedisSettings(url="redis://127.0.0.1:1/0"))
    launcher = launcher_of(replace(services, admission=AdmissionLedger(nowhere)))
    launcher.launch(granted_run(connection, "run", FLOW | {"flow_version": "1"}))
    assert services.runs.get("run").phase is Phase.SUBMITTING


def test_a_defect_ends_the_run_and_says_so(services: Services, connection: RedisConnection) -> None:
    launcher = launcher_of(services)
    launcher._planner._definitions = None  # type: ignore[assignment]
    launcher.launch(granted_run(connection, "run", FLOW))
    assert "AttributeError" in outcome(services.runs.get("run")).summary


def test_parameters_with_text_that_is_not_ascii_arrive(aws: ScriptedAws, launched: Launched) -> None:
    accepts(aws)
    launched(FLOW | {"parameters": {"ключ": "✓ “quoted”"}})
    assert json.loads(environment(aws)[Env.RUN_SPEC])["parameters"] == {"ключ": "✓ “quoted”"}
