"""The pure rules: sizes, RunTask requests, task definitions, tags."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ecs_kit import definition, run_request
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.local.ecs import sizes
from dagy_queue.local.ecs.definition_rules import check_definition
from dagy_queue.local.ecs.tags import merge_tags, read_tags
from dagy_queue.local.ecs.validation import MAX_OVERRIDES, check_against_definition, check_network, check_run_task
from dagy_queue.local.ports import AwsError
from dagy_queue.requests.sizes import MEMORY_OF_CPU

ALLOWED_STARTED_BY = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_"


def refusal(**request: Any) -> AwsError:
    with pytest.raises(AwsError) as caught:
        check_run_task(run_request(**request))
    return caught.value


def definition_refusal(**changes: Any) -> AwsError:
    with pytest.raises(AwsError) as caught:
        check_definition({**definition(), **changes})
    return caught.value


def test_every_pair_of_the_fargate_table_is_offered() -> None:
    assert sum(len(memories) for memories in MEMORY_OF_CPU.values()) == 3 + 4 + 7 + 13 + 23 + 12 + 12 + 3
    assert sizes.is_fargate_pair(32768, 244 * 1024)
    assert not sizes.is_fargate_pair(32768, 180 * 1024)
    assert not sizes.is_fargate_pair(256, 4096)
    assert not sizes.is_fargate_pair(300, 512)


@pytest.mark.parametrize(("text", "units"), [("1024", 1024), ("1 vCPU", 1024), (".5 vcpu", 512), ("0.25vCPU", 256)])
def test_cpu_is_read_in_units_and_in_vcpus(text: str, units: int) -> None:
    assert sizes.parse_cpu(text) == units


@pytest.mark.parametrize("text", ["", "big", "1 GB", "-1", "1.5"])
def test_what_is_not_a_cpu_is_none(text: str) -> None:
    assert sizes.parse_cpu(text) is None


def test_memory_is_read_in_mib_and_in_gb() -> None:
    assert (sizes.parse_memory("512"), sizes.parse_memory("0.5 GB"), sizes.parse_memory("2GB")) == (512, 512, 2048)


@given(st.text(ALLOWED_STARTED_BY, min_size=1, max_size=128))
def test_started_by_takes_letters_digits_hyphens_slashes_and_underscores(text: str) -> None:
    check_run_task(run_request(startedBy=text))


@given(st.text(min_size=1, max_size=200).filter(lambda t: len(t) > 128 or not set(t) <= set(ALLOWED_STARTED_BY)))
def test_started_by_takes_nothing_else(text: str) -> None:
    assert refusal(startedBy=text).code == "InvalidParameterException"


@given(st.text([chr(c) for c in range(33, 127)], min_size=1, max_size=64))
def test_a_client_token_is_up_to_64_visible_ascii_characters(token: str) -> None:
    check_run_task(run_request(clientToken=token))


@given(st.text(min_size=1, max_size=80).filter(lambda t: len(t) > 64 or any(not 33 <= ord(c) <= 126 for c in t)))
def test_a_client_token_is_nothing_else(token: str) -> None:
    assert refusal(clientToken=token).code == "InvalidParameterException"


@given(st.integers())
def test_count_is_one_to_ten(count: int) -> None:
    if 1 <= count <= 10:
        check_run_task(run_request(count=count))
    else:
        assert refusal(count=count).code == "InvalidParameterException"


@given(st.integers(-3, 3))
def test_overrides_are_measured_as_compact_json_in_characters(surplus: int) -> None:
    overrides = {"containerOverrides": [{"name": "worker", "environment": [{"name": "X", "value": ""}]}]}
    empty = len(json.dumps(overrides, separators=(",", ":")))
    overrides["containerOverrides"][0]["environment"] = [
        {"name": "X", "value": "ü" * (MAX_OVERRIDES - empty + surplus)}
    ]
    if surplus <= 0:
        check_run_task(run_request(overrides=overrides))
    else:
        assert "at most 8192" in refusal(overrides=overrides).message


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"taskDefinition": ""}, "TaskDefinition can not be blank"),
        (
            {"launchType": "FARGATE", "capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
            "both a launch type",
        ),
        ({"launchType": "LAMBDA"}, "Invalid launch type"),
        ({"propagateTags": "SERVICE"}, "propagateTags SERVICE"),
        ({"propagateTags": "ALL"}, "Invalid propagateTags"),
        ({"overrides": {"containerOverrides": [{"name": "worker", "secrets": []}]}}, "Secrets can not be overridden"),
        (
            {
                "launchType": None,
                "capacityProviderStrategy": [
                    {"capacityProvider": "FARGATE"},
                    {"capacityProvider": "FARGATE_SPOT", "weight": 0},
                ],
            },
            "weight greater than 0",
        ),
        (
            {
                "launchType": None,
                "capacityProviderStrategy": [
                    {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
                    {"capacityProvider": "FARGATE_SPOT", "base": 1},
                ],
            },
            "Only one capacity provider",
        ),
    ],
)
def test_run_task_refuses(request_: dict[str, Any], message: str) -> None:
    error = refusal(**request_)
    assert (error.code, error.status) == ("InvalidParameterException", 400)
    assert message in error.message


def test_an_unknown_platform_version_has_an_exception_of_its_own() -> None:
    for unknown in ("newest", "1.5.0", "9.9.9", "1.4"):
        assert refusal(platformVersion=unknown).code == "PlatformUnknownException"


def test_a_field_of_the_wrong_json_type_is_a_serialization_error() -> None:
    for wrong in (
        {"count": "2"},
        {"count": True},
        {"startedBy": 1},
        {"overrides": []},
        {"capacityProviderStrategy": [1]},
    ):
        assert refusal(**{"launchType": None, **wrong}).code == "SerializationException"


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({}, "must be provided when networkMode 'awsvpc'"),
        ({"awsvpcConfiguration": {}}, "must be provided"),
        ({"awsvpcConfiguration": {"subnets": [], "securityGroups": ["sg"]}}, "subnets can not be empty"),
        ({"awsvpcConfiguration": {"subnets": ["s"] * 17}}, "at most 16"),
        ({"awsvpcConfiguration": {"subnets": ["s"], "securityGroups": ["g"] * 6}}, "at most 5"),
        ({"awsvpcConfiguration": {"subnets": ["s"], "assignPublicIp": "YES"}}, "assignPublicIp"),
    ],
)
def test_an_awsvpc_task_needs_a_whole_network_configuration(network: dict[str, Any], message: str) -> None:
    with pytest.raises(AwsError, match=message):
        check_network(network, awsvpc=True)


def test_other_network_modes_take_no_network_configuration() -> None:
    check_network({}, awsvpc=False)
    with pytest.raises(AwsError, match="not valid for the given networkMode"):
        check_network({"awsvpcConfiguration": {"subnets": ["s"]}}, awsvpc=False)


def fit(overrides: dict[str, Any], version: str = "1.4.0", **changes: Any) -> None:
    document = {**definition(), "compatibilities": ["EC2", "FARGATE"], **changes}
    check_against_definition(run_request(overrides=overrides), document, fargate=True, platform_version=version)


@given(st.sampled_from(sorted(MEMORY_OF_CPU)), st.integers(1, 250))
def test_overridden_sizes_must_be_in_the_table_too(cpu: int, gib: int) -> None:
    overrides = {"cpu": str(cpu), "memory": str(gib * 1024)}
    if gib * 1024 in MEMORY_OF_CPU[cpu]:
        fit(overrides)
        return
    with pytest.raises(AwsError, match="No Fargate configuration exists") as caught:
        fit(overrides)
    assert caught.value.code == "ClientException"


def test_an_override_must_name_a_container_of_the_definition() -> None:
    with pytest.raises(AwsError, match="Override for container named sidecar is not a container in the TaskDefinition"):
        fit({"containerOverrides": [{"name": "sidecar"}]})


def test_ephemeral_storage_is_21_to_200_gib() -> None:
    for good in (21, 200):
        fit({"ephemeralStorage": {"sizeInGiB": good}})
    for bad in (20, 201):
        with pytest.raises(AwsError, match="21 to 200"):
            fit({"ephemeralStorage": {"sizeInGiB": bad}})


def test_large_sizes_and_storage_need_platform_1_4() -> None:
    for overrides in ({"cpu": "8192", "memory": "16384"}, {"ephemeralStorage": {"sizeInGiB": 30}}):
        with pytest.raises(AwsError) as caught:
            fit(overrides, version="1.3.0")
        assert caught.value.code == "PlatformTaskDefinitionIncompatibilityException"


def test_ec2_has_no_platform_version() -> None:
    check_against_definition(run_request(), definition(), fargate=False, platform_version="1.4.0")
    with pytest.raises(AwsError, match="platform version must be null"):
        check_against_definition(
            run_request(platformVersion="LATEST"), definition(), fargate=False, platform_version="1.4.0"
        )


def test_a_variable_may_not_shadow_a_secret() -> None:
    container = {**definition()["containerDefinitions"][0], "secrets": [{"name": "KEY", "valueFrom": "arn:x"}]}
    overrides = {"containerOverrides": [{"name": "worker", "environment": [{"name": "KEY", "value": "1"}]}]}
    with pytest.raises(AwsError, match="secret name must be unique"):
        fit(overrides, containerDefinitions=[container])


CONTAINER = definition()["containerDefinitions"][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "no spaces"}, "Family"),
        ({"containerDefinitions": []}, "cannot be empty"),
        ({"containerDefinitions": [{"image": "x"}]}, "Container.name"),
        ({"containerDefinitions": [{"name": "x"}]}, "Container.image"),
        ({"containerDefinitions": [CONTAINER, CONTAINER]}, "unique"),
        ({"containerDefinitions": [{**CONTAINER, "essential": False}]}, "at least one essential"),
        ({"containerDefinitions": [{**CONTAINER, "stopTimeout": 121}]}, "stopTimeout"),
        ({"containerDefinitions": [{**CONTAINER, "cpu": 512}]}, "sum of the containers'"),
        ({"containerDefinitions": [{**CONTAINER, "memory": 1024}]}, "greater than the task's"),
        ({"networkMode": "bridge"}, "only supports network mode"),
        ({"cpu": "300"}, "Invalid 'cpu' setting"),
        ({"memory": None}, "Invalid 'memory' setting"),
        ({"memory": "3072"}, "No Fargate configuration exists for given values: 256 CPU, 3072 memory"),
        ({"executionRoleArn": None}, "execution role ARN to support log driver awslogs"),
        (
            {
                "executionRoleArn": None,
                "containerDefinitions": [{"name": "x", "image": "x", "secrets": [{"name": "K", "valueFrom": "a"}]}],
            },
            "execution role ARN to support ECS secrets",
        ),
        (
            {"executionRoleArn": None, "containerDefinitions": [{"name": "x", "image": "1.dkr.ecr.eu-west-1.aws/x"}]},
            "support ECR images",
        ),
        (
            {"containerDefinitions": [{**CONTAINER, "logConfiguration": {"logDriver": "awslogs", "options": {}}}]},
            "requires option 'awslogs-group'",
        ),
    ],
)
def test_a_fargate_task_definition_is_refused(changes: dict[str, Any], message: str) -> None:
    error = definition_refusal(**changes)
    assert error.code == "ClientException"
    assert message in error.message


def test_without_fargate_each_container_needs_memory_of_its_own() -> None:
    plain = {"family": "x", "containerDefinitions": [{"name": "x", "image": "x", "memory": 128}]}
    check_definition(plain)
    with pytest.raises(AwsError, match="At least one of 'memory' or 'memoryReservation'"):
        check_definition({"family": "x", "containerDefinitions": [{"name": "x", "image": "x"}]})


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([{"key": f"k{n}", "value": ""} for n in range(51)], "maximum number of tags"),
        ([{"key": "a#b", "value": ""}], "others"),
        ([{"key": "a", "value": "b,c"}], "others"),
        ([{"key": "a", "value": "aws:events"}], "reserved"),
        ([{"key": "", "value": "x"}], "1 to 128"),
        ([{"key": "k" * 129, "value": "x"}], "1 to 128"),
        ([{"key": "k", "value": "v" * 257}], "at most 256"),
        ([{"key": "aws:mine", "value": "x"}], "reserved"),
        ([{"key": "k", "value": "1"}, {"key": "k", "value": "2"}], "Duplicate"),
    ],
)
def test_tags_are_refused(tags: list[dict[str, str]], message: str) -> None:
    with pytest.raises(AwsError, match=message):
        read_tags({"tags": tags})


def test_a_resource_has_at_most_fifty_tags_of_its_user() -> None:
    fifty = {f"k{n}": "" for n in range(50)}
    assert len(merge_tags({"aws:ecs:clusterName": "default"}, fifty)) == 51
    with pytest.raises(AwsError, match="maximum number of tags"):
        merge_tags(fifty, {"one": "more"})
