from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import LaunchRequest, parse_request
from dagy_queue.requests.api_shapes import shape_problems
from tests.unit.strategies import TEMPLATE

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}


def said(**fields: Any) -> str:
    """Return what is allowed where a request is refused for one field."""
    with pytest.raises(RequestInvalid) as caught:
        parse_request(FLOW | fields)
    (problem,) = caught.value.problems
    assert problem.field.startswith(tuple(fields))
    return problem.allowed


def kwargs(**parameters: Any) -> str:
    return said(run_task_kwargs=parameters)


def in_container(**override: Any) -> dict[str, Any]:
    return {"containerOverrides": [{"name": "worker", **override}]}


def test_an_override_is_the_same_in_either_spelling() -> None:
    ecs = {"name": "worker", "environment": [{"name": "A", "value": "1"}], "memoryReservation": 64}
    python = {"name": "worker", "environment": {"A": "1"}, "memory_reservation": 64}
    requests = [LaunchRequest(**FLOW, container_overrides=[override]) for override in (ecs, python)]
    assert requests[0] == requests[1]
    assert requests[0].container_overrides[0].in_api_form() == ecs


def test_an_override_takes_what_ecs_takes() -> None:
    override = {
        "name": "worker",
        "command": ["a"],
        "cpu": 0,
        "memory": 256,
        "environmentFiles": [{"value": "arn:aws:s3:::b/f.env", "type": "s3"}],
        "resourceRequirements": [{"value": "1", "type": "GPU"}],
    }
    assert LaunchRequest(**FLOW, container_overrides=[override]).container_overrides[0].in_api_form() == override


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ({}, "required"),
        ({"name": "a b"}, "pattern"),
        ({"name": "a", "secrets": []}, "no such field"),
        ({"name": "a", "environment": {"DAGY_RUN_ID": "x"}}, "DAGY_RUN_ID is reserved"),
        ({"name": "a", "environment": [{"name": "TASK_NAME", "value": "x"}]}, "TASK_NAME is reserved"),
        ({"name": "a", "environment": [{"name": ["A"], "value": "x"}]}, "names and their values"),
        ({"name": "a", "environment": [{"name": "A"}]}, "names and their values"),
        ({"name": "a", "command": ["a\0"]}, "without NUL"),
        ({"name": "a", "command": "echo"}, "a list"),
        ({"name": "a", "cpu": -1}, "0 or more"),
        ({"name": "a", "memory": 3}, "4 or more"),
        ({"name": "a", "environmentFiles": [{"value": "x"}]}, '"type"'),
        ({"name": "a", "environmentFiles": [{"value": "x", "type": "http"}]}, "one of s3"),
        ({"name": "a", "resource_requirements": [{"value": "1", "type": "TPU"}]}, "one of GPU"),
    ],
)
def test_a_wrong_override_is_refused(override: dict[str, Any], what: str) -> None:
    assert what in said(container_overrides=[override])


def test_a_container_has_one_override() -> None:
    allowed = said(container_overrides=[{"name": "a"}, {"name": "b"}, {"name": "a"}])
    assert allowed == "one override for each container; a has more"


@pytest.mark.parametrize("name", ["clientToken", "count", "referenceId", "startedBy"])
def test_what_makes_a_run_ours_cannot_be_set(name: str) -> None:
    assert f"{name} cannot be set: " in kwargs(**{name: "x"})


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"subnets": ["a"]}, 'Unknown parameter in input: "subnets"'),
        ({"group": 5}, "Invalid type for parameter group"),
        ({"launchType": "fargate"}, "launchType = 'fargate': one of EC2, FARGATE"),
        ({"overrides": None}, "Invalid type for parameter overrides"),
        ({"overrides": in_container(cpu="1")}, "Invalid type for parameter overrides.containerOverrides[0].cpu"),
        ({"overrides": in_container(secrets=[])}, 'Unknown parameter in overrides.containerOverrides[0]: "secrets"'),
        ({"tags": [{"key": "a", "value": {"b"}}]}, "set is not JSON"),
        ({"overrides": {1: "a", "b": "c"}}, "JSON object keys are strings"),
        ({"group": float("nan")}, "JSON has no NaN"),
        ({"propagateTags": "SERVICE"}, "a run has no service"),
        ({"launchType": "EC2", "platformVersion": "1.4.0"}, "leave it out on EC2"),
        ({"launchType": "EC2", "capacityProviderStrategy": [{"capacityProvider": "a"}]}, "not both"),
        ({"capacityProviderStrategy": [{"capacityProvider": "a", "weight": 1001}]}, "capacityProviderStrategy.weight"),
        ({"capacityProviderStrategy": [{"capacityProvider": "a"}, {"capacityProvider": "b"}]}, "weight above 0"),
        ({"networkConfiguration": {"awsvpcConfiguration": {"subnets": []}}}, "1 to 16 subnets; 0 given"),
        ({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"] * 17}}}, "1 to 16 subnets; 17 given"),
        (
            {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"], "securityGroups": ["g"] * 6}}},
            "at most 5 securityGroups; 6 given",
        ),
        ({"placementConstraints": [{"type": "distinctInstance"}] * 11}, "placementConstraints: at most 10; 11 given"),
        ({"placementStrategy": [{"type": "random"}] * 6}, "placementStrategy: at most 5; 6 given"),
        ({"launchType": "FARGATE", "placementStrategy": [{"type": "random"}]}, "placementStrategy: leave it out on"),
        ({"tags": [{"key": "aws:a", "value": ""}]}, "are reserved"),
        ({"tags": [{"value": "a"}]}, "a key is 1 to 128"),
        ({"overrides": {"cpu": "256"}}, "give cpu and memory together"),
        ({"overrides": {"cpu": "1024", "memory": "16384"}}, "choose memory 2048-8192 in steps of 1024, or cpu 2048"),
        ({"overrides": {"cpu": "1 vCPU", "memory": "16 GB"}}, "cpu 1 vCPU with memory 16 GB: choose memory 2048-8192"),
        ({"overrides": {"ephemeralStorage": {"sizeInGiB": 20}}}, "21 to 200 GiB"),
        ({"overrides": {"containerOverrides": [{"cpu": 1}]}}, "each names its container"),
        ({"overrides": in_container(environment=[{"name": "DAGY_X", "value": ""}])}, "DAGY_X is reserved"),
        ({"overrides": in_container(environment=[{"name": "TASK_NUM"}])}, "TASK_NUM is reserved"),
        ({"overrides": in_container(environment=[{"value": "x"}])}, "each variable of an environment has a name"),
    ],
)
def test_wrong_run_task_kwargs_are_refused(parameters: dict[str, Any], what: str) -> None:
    assert what in kwargs(**parameters)


def test_several_problems_of_run_task_kwargs_are_reported_at_once() -> None:
    allowed = kwargs(propagateTags="SERVICE", overrides={"cpu": "256"}, tags=[{"key": "dagy:a", "value": ""}])
    assert all(part in allowed for part in ("no service", "together", "reserved"))


@pytest.mark.parametrize(
    "fields",
    [
        {"launch_type": "EC2", "run_task_kwargs": {"overrides": {"cpu": "300", "memory": "700"}}},
        {"run_task_kwargs": {"launchType": "EC2", "overrides": {"cpu": "300", "memory": "700"}}},
        {"run_task_kwargs": {"launchType": "EC2"}, "launch_type": "FARGATE", "cpu": 300, "memory": 700},
        {"capacity_provider_strategy": [{"capacityProvider": "mine"}], "cpu": 300, "memory": 700},
        {
            "run_task_kwargs": {
                "capacityProviderStrategy": [{"capacityProvider": "mine"}],
                "overrides": {"cpu": "300", "memory": "700"},
            }
        },
    ],
)
def test_instances_take_sizes_that_fargate_does_not_have(fields: dict[str, Any]) -> None:
    LaunchRequest(**FLOW, **fields)


@pytest.mark.parametrize("size", [(127, 512), (0, 0), (-1, 512), (256, 3), (196_609, 512)])
def test_a_size_that_no_instance_has_is_refused(size: tuple[int, int]) -> None:
    assert "on EC2 choose cpu 128-196608" in said_of_size(launch_type="EC2", cpu=size[0], memory=size[1])


@pytest.mark.parametrize("size", [{"cpu": 8192, "memory": 16384}, {"cpu": 32768, "memory": 61440}])
def test_a_large_size_needs_a_new_platform(size: dict[str, int]) -> None:
    assert LaunchRequest(**FLOW, **size, platform_version="1.4.0").size == tuple(size.values())
    assert "platform_version 1.4.0 or LATEST" in said_of_size(**size, platform_version="1.3.0")


@pytest.mark.parametrize("old", [{"platform_version": "1.3.0"}, {"run_task_kwargs": {"platformVersion": "1.3.0"}}])
def test_storage_and_large_sizes_need_a_new_platform(old: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid) as caught:
        parse_request(FLOW | {"ephemeral_storage_gib": 30, "cpu": 8192, "memory": 16384} | old)
    assert [problem.field for problem in caught.value.problems] == ["size", "ephemeral_storage_gib"]
    assert all("platform_version 1.4.0 or LATEST" in problem.allowed for problem in caught.value.problems)


def test_run_task_kwargs_that_move_a_run_to_fargate_count_for_its_size() -> None:
    fields = {"launch_type": "EC2", "run_task_kwargs": {"launchType": "FARGATE"}, "cpu": 300, "memory": 700}
    assert "choose cpu 256" in said_of_size(**fields)


@pytest.mark.parametrize(
    "fields", [{"launch_type": "FARGATE"}, {"capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT"}]}]
)
def test_placement_is_left_to_fargate_where_the_fields_say_so(fields: dict[str, Any]) -> None:
    placement = {"run_task_kwargs": {"placementConstraints": [{"type": "distinctInstance"}]}}
    with pytest.raises(RequestInvalid, match="placementConstraints: leave it out on Fargate"):
        parse_request(FLOW | fields | placement)
    for other in ({}, {"launch_type": "EC2"}, {"capacity_provider_strategy": [{"capacityProvider": "my-machines"}]}):
        assert parse_request(FLOW | other | placement).run_task_kwargs == placement["run_task_kwargs"]


def test_a_platform_version_is_refused_where_the_fields_say_ec2() -> None:
    with pytest.raises(RequestInvalid, match="platformVersion: leave it out on EC2"):
        parse_request(FLOW | {"launch_type": "EC2", "run_task_kwargs": {"platformVersion": "1.4.0"}})


def said_of_size(**fields: Any) -> str:
    with pytest.raises(RequestInvalid) as caught:
        parse_request(FLOW | fields)
    assert [problem.field for problem in caught.value.problems] == ["size"]
    return caught.value.problems[0].allowed


def test_overrides_that_run_task_has_no_room_for_are_refused_when_they_are_made() -> None:
    assert LaunchRequest(**FLOW, extra_env_vars={"A": "x" * 6000})
    for fields in (
        {"extra_env_vars": {"A": "x" * 6200}},
        {"extra_env_vars": {f"V{n}": "" for n in range(300)}},  # ECS's form has 25 characters around each
        {"container_overrides": [{"name": "worker", "command": ["x" * 6200]}]},
        {"run_task_kwargs": {"overrides": in_container(command=["x" * 6200])}},
        {"extra_env_vars": {"A": "x" * 3200}, "run_task_kwargs": {"overrides": in_container(command=["x" * 3200])}},
    ):
        with pytest.raises(RequestInvalid, match="characters of JSON, and 6144 fit"):
            parse_request(FLOW | fields)


def test_what_is_not_in_the_overrides_does_not_count() -> None:
    long = {"parameters": {"p": "x" * 100_000}, "run_task_kwargs": {"group": "x" * 6200}}
    assert parse_request(FLOW | long).run_task_kwargs == long["run_task_kwargs"]


@pytest.mark.parametrize("value", [datetime.now(UTC), object(), b"x", {1}])
def test_a_template_of_something_else_than_json_is_refused(value: Any) -> None:
    assert "is not JSON" in said(task_definition_template=TEMPLATE | {"family": value})


def test_shape_problems_are_few_and_name_the_place() -> None:
    document = {"overrides": {"containerOverrides": [{"name": 1, "cpu": "x", "command": 5, "memory": [], "x": 1}] * 3}}
    problems = shape_problems(document, "RunTask")
    assert len(problems) == 5
    assert all("overrides.containerOverrides[0]" in problem for problem in problems)
