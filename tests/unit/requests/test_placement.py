from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import ContainerRequest, LaunchRequest, parse_request
from dagy_queue.requests.placement import PlacementFields
from tests.unit.strategies import placement_fields, unhurried

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}


def problem(field: str, value: Any, **others: Any) -> tuple[str, str]:
    with pytest.raises(RequestInvalid) as caught:
        parse_request(FLOW | {field: value} | others)
    (found,) = caught.value.problems
    return found.field, found.allowed


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("cluster", ["prod", "a_B-9", "arn:aws:ecs:eu-west-1:123456789012:cluster/prod", ""]),
        ("region", ["us-east-1", "us-gov-west-1", "ap-southeast-7", "us-isob-east-1", "eusc-de-east-1", ""]),
        ("platform_version", ["LATEST", "1.4.0", "1.3.0", ""]),
        ("task_definition", ["f", "f:12", "arn:aws:ecs:eu-west-1:123456789012:task-definition/f:12", ""]),
        ("container_name", ["worker", "log_router-1", ""]),
        ("log_group", ["/ecs/dagy", "a.b#c_d-e", ""]),
        ("task_role_arn", ["arn:aws:iam::123456789012:role/path/to/my+role=,.@-_", ""]),
        ("task_execution_role_arn", ["arn:aws-us-gov:iam::123456789012:role/r"]),
        ("subnets", [[], ["subnet-0a1b"], tuple(f"subnet-{n}" for n in range(16))]),
        ("security_groups", [[], ["sg-0a1b"], [f"sg-{n}" for n in range(5)]]),
        ("ephemeral_storage_gib", [21, 200, "50"]),
        ("launch_type", ["FARGATE", "EC2"]),
        ("assign_public_ip", [True, False]),
    ],
)
def test_what_ecs_takes_is_accepted(field: str, values: list[Any]) -> None:
    for value in values:
        assert getattr(LaunchRequest(**FLOW, **{field: value}), field) in (
            value,
            tuple(value) if isinstance(value, list) else int(value) if field.endswith("gib") else value,
        )


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("cluster", "a b", "the name of a cluster"),
        ("cluster", "../x", "the name of a cluster"),
        ("cluster", "arn:aws:ecs:eu-west-1:\u0661:cluster/x", "the name of a cluster"),
        ("cluster", "prod\n", "the name of a cluster"),
        ("region", "Frankfurt", "such as eu-central-1"),
        ("region", "us-east-1a", "such as eu-central-1"),
        ("platform_version", "latest", "LATEST, or a version such as 1.4.0"),
        ("task_definition", "f:0", "family, family:revision or ARN"),
        ("task_definition", "../x", "family, family:revision or ARN"),
        ("container_name", "a b", "1 to 255 letters"),
        ("log_group", "a b", "1 to 512 letters"),
        ("log_group", "a" * 513, "1 to 512 letters"),
        ("task_role_arn", "admin", "the ARN of an IAM role"),
        ("task_execution_role_arn", "arn:aws:iam::1:user/x", "the ARN of an IAM role"),
        ("subnets", [f"subnet-{n}" for n in range(17)], "at most 16; 17 given"),
        ("subnets", ["subnet-1", "vpc-1", "x"], "'vpc-1', 'x': a subnet's id starts with subnet-"),
        ("security_groups", [f"sg-{n}" for n in range(6)], "at most 5; 6 given"),
        ("security_groups", ["subnet-1"], "'subnet-1': a security group's id starts with sg-"),
        ("ephemeral_storage_gib", 20, "21 to 200 GiB, or leave it out for 20"),
        ("ephemeral_storage_gib", 201, "21 to 200 GiB"),
        ("launch_type", "EXTERNAL", "'FARGATE' or 'EC2'"),
        ("worker_image", "a b", "an image's URI"),
        ("worker_image", "a\0b", "an image's URI"),
        ("worker_image", "x" * 256, "an image's URI"),
        ("worker_image", "-x", "an image's URI"),
    ],
)
def test_what_ecs_refuses_is_refused_and_named(field: str, value: Any, what: str) -> None:
    named, allowed = problem(field, value)
    assert named == field
    assert what in allowed


def test_a_launch_type_or_a_strategy() -> None:
    strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    assert LaunchRequest(**FLOW, capacity_provider_strategy=strategy).launch_type is None
    named, allowed = problem("capacity_provider_strategy", strategy, launch_type="FARGATE")
    assert (named, allowed) == (
        "capacity_provider_strategy",
        "a launch_type or a capacity_provider_strategy, not both",
    )


@pytest.mark.parametrize(
    ("model", "image"), [(ContainerRequest, {"image": "i"}), (LaunchRequest, {"worker_image": "i"})]
)
def test_an_image_or_an_existing_definition(model: Any, image: dict[str, str]) -> None:
    fields = {"org_id": "acme", "task_definition": "f", **image} | (FLOW if model is LaunchRequest else {})
    with pytest.raises(RequestInvalid, match="an image or a task_definition, not both"):
        parse_request(fields, model)


def test_the_size_that_people_get_wrong_is_told_in_full() -> None:
    assert problem("cpu", 1024, memory=16384) == (
        "size",
        "cpu 1024 with memory 16384: choose memory 2048-8192 in steps of 1024, or cpu 2048",
    )


def test_a_cpu_that_is_no_number_is_one_problem() -> None:
    assert problem("cpu", "many", memory=1024)[0] == "cpu"


@unhurried
@given(st.sampled_from(sorted(LaunchRequest.model_fields.keys() - {"kind", "flow_name", "org_id"})))
def test_none_is_as_good_as_nothing(field: str) -> None:
    assert LaunchRequest(**FLOW, **{field: None}) == LaunchRequest(**FLOW)


@unhurried
@given(placement_fields(["worker"]))
def test_a_launchers_options_are_checked_as_a_requests_fields(fields: dict[str, Any]) -> None:
    options = PlacementFields(**fields)
    assert options.model_dump() == LaunchRequest(**FLOW, **fields).model_dump(include=set(options.model_dump()))


def test_a_size_may_be_written_as_ecs_has_it() -> None:
    assert PlacementFields(cpu="2 vCPU", memory="4 GB").size == (2048, 4096)  # type: ignore[arg-type]
