from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from botocore.validate import ParamValidator
from hypothesis import example, given
from hypothesis import strategies as st

from dagy.contract import Env, RunSpec
from dagy_queue.ids import AttemptId
from dagy_queue.launching.run_task import (
    MAX_OVERRIDES,
    Launch,
    overrides,
    overrides_too_large,
    run_task_parameters,
    task_name,
)
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import EcsSettings
from tests.unit.kit import client
from tests.unit.strategies import any_requests, attempt_ids, env_names, text, unhurried

SHAPE = client("ecs").meta.service_model.operation_model("RunTask").input_shape
ECS = EcsSettings(subnets=("subnet-1", "subnet-2"), security_groups=("sg-1",))
DEFINITION = "arn:aws:ecs:us-east-1:123456789012:task-definition/dagy-worker-0123456789abcdef:1"
FLOW = LaunchRequest(flow_name="etl", org_id="acme")
FIRST = AttemptId("run", 1)


def spec_of(request: LaunchRequest, attempt_id: AttemptId) -> RunSpec:
    return RunSpec(
        run_id=attempt_id.run_id,
        attempt=attempt_id.attempt,
        org_id=request.org_id,
        flow_name=request.flow_name,
        flow_version=request.flow_version,
        artifact_uri="s3://bucket/artifact.zip",
        parameters=request.parameters,
    )


def launch_of(request: LaunchRequest | ContainerRequest, attempt_id: AttemptId = FIRST, **fields: Any) -> Launch:
    values: dict[str, Any] = {
        "correlation_id": request.correlation_id or attempt_id.run_id,
        "batch_id": "",
        "shard": None,
        "task_definition": DEFINITION,
        "report_uri": "s3://bucket/report.json",
        "spec": spec_of(request, attempt_id) if isinstance(request, LaunchRequest) else None,
    }
    return Launch(attempt_id=attempt_id, request=request, **(values | fields))


def shards() -> st.SearchStrategy[dict[str, Any]]:
    in_batch = st.builds(lambda b, s: {"batch_id": str(b), "shard": s}, st.uuids(), st.integers(0, 10**6))
    return st.just({}) | in_batch


launches = st.builds(lambda r, a, s: launch_of(r, a, **s), any_requests, attempt_ids, shards())


def parameters(launch: Launch, ecs: EcsSettings = ECS) -> dict[str, Any]:
    return run_task_parameters(launch, ecs)


def environment(launch: Launch) -> dict[str, str]:
    (container,) = parameters(launch)["overrides"]["containerOverrides"]
    return {pair["name"]: pair["value"] for pair in container["environment"]}


def tags(launch: Launch) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in parameters(launch)["tags"]}


@unhurried
@given(launches)
def test_botocore_accepts_the_parameters_of_any_acceptable_request(launch: Launch) -> None:
    report = ParamValidator().validate(parameters(launch), SHAPE)
    assert not report.has_errors(), report.generate_report()


@unhurried
@given(launches)
def test_the_same_launch_gives_the_same_parameters(launch: Launch) -> None:
    again = replace(launch, request=type(launch.request).model_validate(launch.request.model_dump()))
    assert json.dumps(parameters(again)) == json.dumps(parameters(launch))


@unhurried
@given(launches)
def test_token_and_started_by_are_within_the_limits_of_ecs(launch: Launch) -> None:
    asked = parameters(launch)
    assert re.fullmatch(r"[\x21-\x7e]{1,64}", asked["clientToken"])
    assert re.fullmatch(r"[A-Za-z0-9/_-]{1,128}", asked["startedBy"])
    assert AttemptId.from_started_by(asked["startedBy"]) == launch.attempt_id


@unhurried
@given(launches)
def test_tags_are_within_the_limits_of_ecs(launch: Launch) -> None:
    pairs = parameters(launch)["tags"]
    keys = [pair["key"] for pair in pairs]
    assert len(pairs) <= 50
    assert len(set(keys)) == len(keys)
    assert all(0 < len(pair["key"]) <= 128 and len(pair["value"]) <= 256 for pair in pairs)
    assert all(re.fullmatch(r"[A-Za-z0-9 _.:/=+\-@]*", pair["key"] + pair["value"]) for pair in pairs)


@unhurried
@given(text)
@example("aws:events")
@example("AWS: lambda")
def test_no_tag_begins_with_what_aws_keeps_for_itself(said: str) -> None:
    launch = launch_of(LaunchRequest(flow_name="f", org_id="o", trigger_source=said, environment=said))
    assert not [value for value in tags(launch).values() if value.lower().startswith("aws:")]


@unhurried
@given(launches)
def test_one_call_launches_one_task_of_a_definition_by_its_arn(launch: Launch) -> None:
    asked = parameters(launch)
    assert (asked["count"], asked["taskDefinition"]) == (1, DEFINITION)
    assert ("launchType" in asked) != ("capacityProviderStrategy" in asked)


@unhurried
@given(launches)
def test_the_container_learns_who_it_is(launch: Launch) -> None:
    env = environment(launch)
    assert env[Env.RUN_ID] == launch.attempt_id.run_id
    assert env[Env.ATTEMPT] == str(launch.attempt_id.attempt)
    assert env[Env.CORRELATION_ID] == launch.correlation_id
    assert env[Env.ORG_ID] == launch.request.org_id
    assert env[Env.RESULT_URI] == launch.report_uri
    assert env[Env.TASK_NUM] == str(launch.shard or 0)


@unhurried
@given(st.dictionaries(env_names, text, max_size=4))
@example({"SWITCHED_OFF": ""})
def test_the_callers_environment_reaches_the_container(variables: dict[str, str]) -> None:
    request = ContainerRequest(org_id="acme", image="job", extra_env_vars=variables)
    env = environment(launch_of(request))
    assert {name: env.get(name) for name in variables} == variables


@unhurried
@given(launches)
def test_no_variable_is_given_twice(launch: Launch) -> None:
    (container,) = parameters(launch)["overrides"]["containerOverrides"]
    names = [pair["name"] for pair in container["environment"]]
    assert len(set(names)) == len(names)


@unhurried
@given(any_requests.filter(lambda r: isinstance(r, LaunchRequest)), attempt_ids)
def test_the_spec_of_a_flow_travels_in_the_environment(request: LaunchRequest, attempt_id: AttemptId) -> None:
    launch = launch_of(request, attempt_id)
    env = environment(launch)
    assert RunSpec.from_json(env[Env.RUN_SPEC]) == launch.spec
    assert Env.RUN_SPEC_URI not in env


def test_a_spec_that_was_put_elsewhere_travels_by_reference() -> None:
    env = environment(launch_of(FLOW, spec_uri="s3://bucket/spec.json"))
    assert env[Env.RUN_SPEC_URI] == "s3://bucket/spec.json"
    assert Env.RUN_SPEC not in env


def test_a_container_has_no_spec() -> None:
    env = environment(launch_of(ContainerRequest(org_id="acme", image="job")))
    assert not {Env.RUN_SPEC, Env.RUN_SPEC_URI, Env.ARTIFACT_URI} & env.keys()


def test_a_command_replaces_the_images() -> None:
    request = ContainerRequest(org_id="acme", image="job", command=("python", "-m", "job"))
    (container,) = parameters(launch_of(request))["overrides"]["containerOverrides"]
    assert container["command"] == ["python", "-m", "job"]


def test_without_a_command_the_images_stays() -> None:
    (container,) = parameters(launch_of(ContainerRequest(org_id="acme", image="job")))["overrides"][
        "containerOverrides"
    ]
    assert "command" not in container


def test_a_size_is_sent_as_text() -> None:
    asked = parameters(launch_of(LaunchRequest(flow_name="f", org_id="o", cpu=512, memory=1024)))["overrides"]
    assert (asked["cpu"], asked["memory"]) == ("512", "1024")


def test_without_a_size_the_definitions_stays() -> None:
    assert not {"cpu", "memory", "ephemeralStorage"} & parameters(launch_of(FLOW))["overrides"].keys()


def test_ephemeral_storage_is_sent() -> None:
    request = LaunchRequest(flow_name="f", org_id="o", ephemeral_storage_gib=42)
    assert parameters(launch_of(request))["overrides"]["ephemeralStorage"] == {"sizeInGiB": 42}


def test_the_network_is_the_settings() -> None:
    network = parameters(launch_of(FLOW))["networkConfiguration"]["awsvpcConfiguration"]
    assert network == {
        "subnets": ["subnet-1", "subnet-2"],
        "securityGroups": ["sg-1"],
        "assignPublicIp": "DISABLED",
    }


@pytest.mark.parametrize(("public", "said"), [(True, "ENABLED"), (False, "DISABLED")])
def test_a_public_address_is_given_if_it_is_wanted(public: bool, said: str) -> None:
    ecs = EcsSettings(subnets=("subnet-1",), assign_public_ip=public)
    network = parameters(launch_of(FLOW), ecs)["networkConfiguration"]["awsvpcConfiguration"]
    assert (network["assignPublicIp"], "securityGroups" in network) == (said, False)


def test_without_subnets_there_is_no_network() -> None:
    assert "networkConfiguration" not in parameters(launch_of(FLOW), EcsSettings())


def test_tags_say_what_runs_for_whom() -> None:
    request = LaunchRequest(flow_name="etl", org_id="acme", environment="staging", trigger_source="cron")
    assert tags(launch_of(request, batch_id="b", shard=0)) == {
        "dagy:run": "run",
        "dagy:org": "acme",
        "dagy:what": "etl@latest",
        "dagy:correlation": "run",
        "dagy:batch": "b",
        "dagy:shard": "0",
        "dagy:environment": "staging",
        "dagy:trigger": "cron",
    }


def test_the_task_is_named_after_its_batch_and_shard() -> None:
    assert task_name(AttemptId("run", 2), "batch", 3) == "dagy-batch-3"


def test_the_first_shard_is_named_as_the_others_are() -> None:
    assert task_name(AttemptId("run", 1), "batch", 0) == "dagy-batch-0"


def test_a_single_run_is_named_after_itself() -> None:
    assert task_name(AttemptId("run", 2), "", None) == "dagy-run-0"


@pytest.mark.parametrize(("extra", "too_large"), [(0, False), (1, True)])
def test_overrides_may_have_as_many_characters_as_run_task_takes(extra: int, too_large: bool) -> None:
    def with_padding(length: int) -> dict[str, Any]:
        return {"containerOverrides": [{"name": "worker", "environment": [{"name": "A", "value": "x" * length}]}]}

    room = MAX_OVERRIDES - len(json.dumps(with_padding(0), separators=(",", ":")))
    assert overrides_too_large(with_padding(room + extra)) is too_large


def test_a_large_spec_makes_overrides_too_large_and_its_reference_does_not() -> None:
    launch = launch_of(LaunchRequest(flow_name="f", org_id="o", parameters={"rows": ["x" * 100] * 100}))
    assert overrides_too_large(overrides(launch, ECS))
    assert not overrides_too_large(overrides(replace(launch, spec_uri="s3://bucket/spec.json"), ECS))
