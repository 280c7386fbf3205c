from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dagy.contract import Env, RunSpec
from dagy_queue.errors import RequestInvalid
from dagy_queue.ids import AttemptId
from dagy_queue.launching.definitions import Definition
from dagy_queue.launching.placement import placement_of
from dagy_queue.launching.run_task import (
    MAX_OVERRIDES,
    Launch,
    check_overrides_size,
    overrides,
    overrides_too_large,
    run_task_parameters,
    task_name,
)
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.overrides import ContainerOverride
from tests.unit.launching.kit import (
    FIRST,
    FLOW,
    JOB,
    ROLE,
    SECRET,
    container,
    flow_requests,
    placed_requests,
    problems,
    settings,
    variables,
)
from tests.unit.strategies import attempt_ids, env_names, text, unhurried

ARN = "arn:aws:ecs:us-east-1:123456789012:task-definition/dagy-worker-0123456789abcdef:1"
ALONE = Definition(name=ARN, network_mode="awsvpc", containers=("worker",), essential=("worker",))
WITH_SIDECARS = replace(ALONE, containers=("log", "worker", "proxy"))


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
        "placement": placement_of(request, settings()),
        "definition": ALONE,
        "worker": "worker",
        "batch_id": "",
        "shard": None,
        "report_uri": "s3://bucket/report.json",
        "tags": request.tags,
        "spec": spec_of(request, attempt_id) if isinstance(request, LaunchRequest) else None,
    }
    return Launch(attempt_id=attempt_id, request=request, **(values | fields))


def shards() -> st.SearchStrategy[dict[str, Any]]:
    in_batch = st.builds(lambda b, s: {"batch_id": str(b), "shard": s}, st.uuids(), st.integers(0, 10**6))
    return st.just({}) | in_batch


definitions = st.sampled_from([ALONE, WITH_SIDECARS, replace(ALONE, network_mode="bridge")])
launches = st.builds(
    lambda r, a, s, d: launch_of(r, a, definition=d, **s), placed_requests, attempt_ids, shards(), definitions
)


def environment(launch: Launch, name: str = "worker") -> dict[str, str]:
    return variables(container(run_task_parameters(launch), name))


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


def test_a_command_replaces_the_images() -> None:
    launch = launch_of(JOB.model_copy(update={"command": ("python", "-m", "job")}))
    assert container(run_task_parameters(launch))["command"] == ["python", "-m", "job"]


def test_what_is_not_asked_for_stays_as_the_definition_has_it() -> None:
    asked = run_task_parameters(launch_of(JOB))["overrides"]
    assert asked.keys() == {"containerOverrides"}
    assert container({"overrides": asked}).keys() == {"name", "environment"}


def test_size_storage_and_roles_are_overridden() -> None:
    request = LaunchRequest(
        flow_name="f",
        org_id="o",
        cpu=512,
        memory=1024,
        ephemeral_storage_gib=42,
        task_execution_role_arn=ROLE.format("x"),
        task_role_arn=ROLE.format("t"),
    )
    asked = run_task_parameters(launch_of(request))["overrides"]
    del asked["containerOverrides"]
    assert asked == {
        "cpu": "512",
        "memory": "1024",
        "ephemeralStorage": {"sizeInGiB": 42},
        "executionRoleArn": ROLE.format("x"),
        "taskRoleArn": ROLE.format("t"),
    }


def test_overrides_are_laid_over_one_another_by_level() -> None:
    def said(level: str) -> dict[str, str]:
        levels = ("request", "usual", "override", "kwargs")
        return {f"FROM_{other.upper()}": level for other in levels[levels.index(level) :]}

    def pairs(level: str) -> list[dict[str, str]]:
        return [{"name": name, "value": value} for name, value in said(level).items()]

    request = ContainerRequest(
        org_id="acme",
        image="job",
        command=("of-request",),
        extra_env_vars=said("request"),
        container_overrides=[{"name": "worker", "environment": said("override"), "cpu": 10}],
        run_task_kwargs={"overrides": {"containerOverrides": [{"name": "worker", "environment": pairs("kwargs")}]}},
    )
    usual = ContainerOverride(name="worker", environment=said("usual"), command=("usual",), cpu=5, memory=64)
    worker = container(run_task_parameters(launch_of(request, usual_overrides=(usual,))))
    env = variables(worker)
    assert {name: env[name] for name in said("request")} == {
        "FROM_REQUEST": "request",
        "FROM_USUAL": "usual",
        "FROM_OVERRIDE": "override",
        "FROM_KWARGS": "kwargs",
    }
    assert (worker["command"], worker["cpu"], worker["memory"]) == (["usual"], 10, 64)


def test_a_sidecar_is_overridden_by_its_name() -> None:
    given = {"name": "proxy", "command": ["--quiet"], "memoryReservation": 64, "environment": {"A": "1"}}
    request = JOB.model_copy(update={"container_overrides": (ContainerOverride(**given),)})
    launch = launch_of(request, definition=WITH_SIDECARS)
    proxy = container(run_task_parameters(launch), "proxy")
    assert (proxy["command"], proxy["memoryReservation"], variables(proxy)["A"]) == (["--quiet"], 64, "1")
    assert "command" not in container(run_task_parameters(launch), "worker")


@pytest.mark.parametrize(
    "fields",
    [
        {"container_overrides": [{"name": "prxy"}]},
        {"run_task_kwargs": {"overrides": {"containerOverrides": [{"name": "prxy"}]}}},
    ],
    ids=["container_overrides", "run_task_kwargs"],
)
def test_a_container_that_there_is_not_is_refused_with_those_that_there_are(fields: dict[str, Any]) -> None:
    request = ContainerRequest(org_id="acme", image="job", **fields)
    with pytest.raises(RequestInvalid, match=r"'prxy'.*log, worker, proxy"):
        run_task_parameters(launch_of(request, definition=WITH_SIDECARS))


def test_the_settings_overrides_are_for_definitions_that_have_the_container() -> None:
    usual = (ContainerOverride(name="log", memory=64), ContainerOverride(name="worker", memory=128))
    alone = run_task_parameters(launch_of(JOB, usual_overrides=usual))
    assert container(alone)["memory"] == 128
    both = run_task_parameters(launch_of(JOB, usual_overrides=usual, definition=WITH_SIDECARS))
    assert container(both, "log")["memory"] == 64


def test_no_variable_of_ours_can_be_set_by_the_operator_either() -> None:
    theirs = [{"name": Env.RUN_ID, "value": "x"}, {"name": Env.TASK_NUM, "value": "x"}, {"name": "A", "value": "a"}]
    kwargs = {"overrides": {"containerOverrides": [{"name": n, "environment": theirs} for n in ("worker", "log")]}}
    placement = replace(placement_of(JOB, settings()), kwargs=kwargs)
    launch = launch_of(JOB, placement=placement, definition=WITH_SIDECARS)
    assert (environment(launch)[Env.RUN_ID], environment(launch)[Env.TASK_NUM]) == ("run", "0")
    assert (environment(launch, "log")[Env.TASK_NUM], environment(launch, "log")["A"]) == ("0", "a")


@pytest.mark.parametrize(
    "fields",
    [
        {"container_overrides": [{"name": "worker", "environment": {"TOKEN": "plain"}}]},
        {
            "run_task_kwargs": {
                "overrides": {
                    "containerOverrides": [{"name": "worker", "environment": [{"name": "TOKEN", "value": "plain"}]}]
                }
            }
        },
    ],
    ids=["container_overrides", "run_task_kwargs"],
)
def test_a_secret_is_never_given_a_value_too(fields: dict[str, Any]) -> None:
    request = ContainerRequest(org_id="acme", image="job", secrets_env={"TOKEN": SECRET}, **fields)
    with pytest.raises(RequestInvalid, match="TOKEN") as refused:
        run_task_parameters(launch_of(request))
    assert "plain" not in str(refused.value)


@unhurried
@given(launches)
def test_run_task_is_told_nothing_of_secrets(launch: Launch) -> None:
    request = launch.request.model_copy(update={"secrets_env": {"TOKEN": SECRET}})
    said = json.dumps(run_task_parameters(replace(launch, request=request)))
    assert SECRET not in said
    assert "TOKEN" not in said


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


@pytest.mark.parametrize(("extra", "too_large"), [(0, False), (1, True)])
def test_overrides_may_have_as_many_characters_as_run_task_takes(extra: int, too_large: bool) -> None:
    def with_padding(length: int) -> dict[str, Any]:
        return {"containerOverrides": [{"name": "worker", "environment": [{"name": "A", "value": "é" * length}]}]}

    room = MAX_OVERRIDES - len(json.dumps(with_padding(0), separators=(",", ":")))
    value = with_padding(room + extra)
    assert overrides_too_large(value) is too_large
    if too_large:
        with pytest.raises(RequestInvalid, match="8193"):
            check_overrides_size(value)
    else:
        check_overrides_size(value)


def test_a_large_spec_makes_overrides_too_large_and_its_reference_does_not() -> None:
    launch = launch_of(LaunchRequest(flow_name="f", org_id="o", parameters={"rows": ["x" * 100] * 100}))
    assert overrides_too_large(overrides(launch))
    assert not overrides_too_large(overrides(replace(launch, spec_uri="s3://bucket/spec.json")))
