"""RunTask's parameters: within the limits of ECS, and what the container is told."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dagy.contract import Env, RunSpec
from dagy_queue.ids import AttemptId
from dagy_queue.launching.placement import placement_of
from dagy_queue.launching.run_task import Launch, run_task_parameters, task_name
from dagy_queue.requests import ContainerRequest, LaunchRequest
from tests.unit.launching.kit import FLOW, JOB, flow_requests, problems, settings, variables
from tests.unit.launching.run_task_kit import ARN, WITH_SIDECARS, environment, launch_of, launches
from tests.unit.strategies import attempt_ids, env_names, text, unhurried


def tags(launch: Launch) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run_task_parameters(launch)["tags"]}


@unhurried
@given(launches)
def test_botocore_accepts_the_parameters_of_any_acceptable_request(launch: Launch) -> None:
    assert not problems("RunTask", run_task_parameters(launch))


@unhurried
@given(launches)
def test_the_same_launch_gives_the_same_parameters(launch: Launch) -> None:
    again = replace(launch, request=type(launch.request).model_validate(launch.request.model_dump()))
    assert json.dumps(run_task_parameters(again)) == json.dumps(run_task_parameters(launch))


@unhurried
@given(launches)
def test_token_and_started_by_are_within_the_limits_of_ecs(launch: Launch) -> None:
    asked = run_task_parameters(launch)
    assert re.fullmatch(r"[\x21-\x7e]{1,64}", asked["clientToken"])
    assert re.fullmatch(r"[A-Za-z0-9/_-]{1,128}", asked["startedBy"])
    assert AttemptId.from_started_by(asked["startedBy"]) == launch.attempt_id


@unhurried
@given(launches)
def test_tags_are_within_the_limits_of_ecs(launch: Launch) -> None:
    pairs = run_task_parameters(launch)["tags"]
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
    launch = launch_of(LaunchRequest(flow_name="f", org_id="o", trigger_source=said))
    assert not [value for value in tags(launch).values() if value.lower().startswith("aws:")]


@unhurried
@given(launches)
def test_one_call_launches_one_task_of_a_definition_by_its_arn(launch: Launch) -> None:
    asked = run_task_parameters(launch)
    assert (asked["count"], asked["taskDefinition"]) == (1, ARN)


@unhurried
@given(launches)
def test_capacity_is_a_launch_type_or_a_strategy_and_the_platform_is_fargates(launch: Launch) -> None:
    asked = run_task_parameters(launch)
    assert ("launchType" in asked) != ("capacityProviderStrategy" in asked)
    assert ("platformVersion" in asked) == (asked.get("launchType") != "EC2")


@unhurried
@given(launches)
def test_a_network_is_given_to_definitions_of_that_mode_alone(launch: Launch) -> None:
    assert ("networkConfiguration" in run_task_parameters(launch)) == (launch.definition.network_mode == "awsvpc")


@unhurried
@given(launches)
def test_the_container_learns_who_it_is(launch: Launch) -> None:
    env = environment(launch)
    assert env[Env.RUN_ID] == launch.attempt_id.run_id
    assert env[Env.ATTEMPT] == str(launch.attempt_id.attempt)
    assert env[Env.CORRELATION_ID] == launch.request.correlation_id
    assert env[Env.ORG_ID] == launch.request.org_id
    assert env[Env.RESULT_URI] == launch.report_uri


@unhurried
@given(launches)
def test_every_container_learns_its_number_and_the_working_one_comes_first(launch: Launch) -> None:
    listed = run_task_parameters(launch)["overrides"]["containerOverrides"]
    names = [each["name"] for each in listed]
    assert names[0] == "worker"
    assert sorted(names) == sorted(launch.definition.containers)
    name = task_name(launch.attempt_id, launch.batch_id, launch.shard)
    for each in listed:
        assert variables(each).items() >= {Env.TASK_NAME: name, Env.TASK_NUM: str(launch.shard or 0)}.items()


def test_only_the_working_container_learns_what_the_run_is_about() -> None:
    launch = launch_of(FLOW, definition=WITH_SIDECARS)
    assert environment(launch, "log").keys() == {Env.TASK_NAME, Env.TASK_NUM}


@unhurried
@given(st.dictionaries(env_names, text.filter(lambda said: "\0" not in said), max_size=4))
@example({"SWITCHED_OFF": ""})
def test_the_callers_environment_reaches_the_container(given_variables: dict[str, str]) -> None:
    env = environment(launch_of(JOB.model_copy(update={"extra_env_vars": given_variables})))
    assert {name: env.get(name) for name in given_variables} == given_variables


@unhurried
@given(flow_requests, attempt_ids)
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
    assert not {Env.RUN_SPEC, Env.RUN_SPEC_URI, Env.ARTIFACT_URI} & environment(launch_of(JOB)).keys()


FEW, MANY = ("s3://p/a.zip", "s3://p/b.zip"), tuple(f"s3://packages/{n:0>60}.zip" for n in range(30))


@pytest.mark.parametrize(
    ("request_", "uris", "said"),
    [
        (FLOW, FEW, ",".join(FEW)),
        (JOB, FEW, ",".join(FEW)),
        (FLOW, (), None),
        (FLOW, MANY, None),
        (JOB, MANY, ",".join(MANY)),
    ],
    ids=["flow", "container", "none", "many in the spec alone", "many of a container, which has no spec"],
)
def test_the_container_learns_its_packages(
    request_: LaunchRequest | ContainerRequest, uris: tuple[str, ...], said: str | None
) -> None:
    assert environment(launch_of(request_, package_uris=uris)).get(Env.DEP_PACKAGE_URIS) == said


def test_further_parameters_of_run_task_are_sent() -> None:
    kwargs = {"enableExecuteCommand": True, "group": "nightly", "propagateTags": "TASK_DEFINITION"}
    asked = run_task_parameters(launch_of(JOB.model_copy(update={"run_task_kwargs": kwargs})))
    assert {name: asked[name] for name in kwargs} == kwargs


def test_tags_say_what_runs_for_whom() -> None:
    request = LaunchRequest(
        flow_name="etl", org_id="acme", environment="staging", trigger_source="cron", correlation_id="trace"
    )
    launch = launch_of(request, batch_id="b", shard=0, tags={"team": "data", "dagy:run": "not theirs to say"})
    assert tags(launch) == {
        "team": "data",
        "dagy:run": "run",
        "dagy:org": "acme",
        "dagy:what": "etl@latest",
        "dagy:correlation": "trace",
        "dagy:batch": "b",
        "dagy:shard": "0",
        "dagy:environment": "staging",
        "dagy:trigger": "cron",
    }


def test_run_task_kwargs_cannot_change_our_tags() -> None:
    kwargs = {"tags": [{"key": "dagy:run", "value": "another"}]}
    launch = launch_of(JOB, placement=replace(placement_of(JOB, settings()), kwargs=kwargs))
    assert tags(launch)["dagy:run"] == "run"


@pytest.mark.parametrize(
    ("attempt_id", "batch_id", "shard", "name"),
    [
        (AttemptId("run", 2), "batch", 3, "dagy-batch-3"),
        (AttemptId("run", 1), "batch", 0, "dagy-batch-0"),
        (AttemptId("run", 2), "", None, "dagy-run-0"),
    ],
    ids=["shard", "first shard", "single run"],
)
def test_the_task_is_named_after_its_batch_and_shard(
    attempt_id: AttemptId, batch_id: str, shard: int | None, name: str
) -> None:
    assert task_name(attempt_id, batch_id, shard) == name
