from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from dagy_queue.errors import RequestInvalid
from dagy_queue.producer.canvas import to_json
from dagy_queue.requests import ContainerRequest, LaunchRequest, parse_request, read_request
from dagy_queue.requests.retrying import RetryFields
from tests.unit.strategies import any_requests, correlations, env_names, names, sizes, unhurried

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}


def refused(values: dict[str, Any], model: type[LaunchRequest | ContainerRequest] = LaunchRequest) -> list[str]:
    """Return the fields of the problems that a request is refused for."""
    with pytest.raises(RequestInvalid) as caught:
        parse_request(values, model)
    return [problem.field for problem in caught.value.problems]


@unhurried
@given(any_requests)
def test_a_request_comes_back_unchanged_from_its_json(request: LaunchRequest | ContainerRequest) -> None:
    assert read_request(json.loads(json.dumps(to_json(request), allow_nan=False))) == request


@unhurried
@given(any_requests)
def test_the_json_of_a_request_has_no_defaults_but_retry_fields_that_were_given(
    request: LaunchRequest | ContainerRequest,
) -> None:
    given = RetryFields.model_fields.keys() & request.model_fields_set
    written = to_json(request)
    defaults = {name: field.get_default() for name, field in type(request).model_fields.items()}
    assert all(value != defaults[name] for name, value in written.items() if name != "kind" and name not in given)
    assert given <= written.keys()
    assert read_request(written).model_fields_set >= given


def test_two_fields_make_a_request() -> None:
    request = LaunchRequest(**FLOW)
    assert (request.flow_version, request.parameters, request.max_retries) == ("latest", {}, 0)


def test_a_request_never_changes() -> None:
    with pytest.raises(ValidationError):
        LaunchRequest(**FLOW).priority = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("model", "given_fields", "missing"),
    [(LaunchRequest, {}, {"flow_name", "org_id"}), (ContainerRequest, {}, {"org_id"})],
)
def test_every_missing_field_is_named(model: Any, given_fields: dict[str, Any], missing: set[str]) -> None:
    assert set(refused(given_fields, model)) == missing


@pytest.mark.parametrize("name", ["parameter", "x", "flow", "container", "size"])
def test_a_field_that_does_not_exist_is_named(name: str) -> None:
    assert refused(FLOW | {name: 1}) == [name]


@pytest.mark.parametrize("name", ["parameter", "flow", "container"])
def test_a_field_that_does_not_exist_is_named_when_a_request_is_read(name: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        read_request(FLOW | {name: 1})
    assert [problem.field for problem in caught.value.problems] == [name]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("org_id", ""),
        ("org_id", "a b"),
        ("org_id", "a#b"),
        ("org_id", "a/b"),
        ("org_id", ".a"),
        ("org_id", "a\n"),
        ("org_id", "ü"),
        ("org_id", "a" * 129),
        ("org_id", None),
        ("flow_name", "a#b"),
        ("flow_version", ""),
        ("correlation_id", "a b"),
        ("correlation_id", "ä"),
        ("correlation_id", "a" * 201),
        ("correlation_id", "a\n"),
        ("ephemeral_storage_gib", 20),
        ("ephemeral_storage_gib", 201),
        ("extra_env_vars", {"DAGY_RUN_ID": "x"}),
        ("extra_env_vars", {"DAGY_ANYTHING": "x"}),
        ("extra_env_vars", {"TASK_NAME": "x"}),
        ("extra_env_vars", {"TASK_NUM": "x"}),
        ("extra_env_vars", {"1A": "x"}),
        ("extra_env_vars", {"A-B": "x"}),
        ("extra_env_vars", {"": "x"}),
        ("parameters", {"a": math.nan}),
        ("parameters", {"a": {1}}),
        ("parameters", [1]),
        ("metadata", {"a": {1: 2}}),
        ("max_retries", -1),
        ("max_retries", 101),
        ("retry_delay", -0.1),
        ("retry_delay", math.nan),
        ("retry_delay", math.inf),
        ("priority", 10),
        ("priority", -1),
        ("kind", "container"),
    ],
)
def test_a_value_that_cannot_work_is_refused_and_named(field: str, value: Any) -> None:
    assert refused(FLOW | {field: value}) == [field]


def test_an_environment_value_that_is_no_text_is_refused_and_named() -> None:
    assert refused(FLOW | {"extra_env_vars": {"A": 1}}) == ["extra_env_vars.A"]


@pytest.mark.parametrize("size", [{"cpu": 256}, {"memory": 512}, {"cpu": 256, "memory": 4096}, {"cpu": 0, "memory": 0}])
def test_a_size_that_fargate_does_not_have_is_refused(size: dict[str, int]) -> None:
    assert refused(FLOW | size) == ["size"]


@unhurried
@given(sizes)
def test_a_size_that_fargate_has_is_accepted(size: tuple[int, int]) -> None:
    assert LaunchRequest(**FLOW, cpu=size[0], memory=size[1]).memory == size[1]


@unhurried
@given(names, correlations, env_names)
def test_plain_names_are_accepted(name: str, correlation: str, variable: str) -> None:
    LaunchRequest(
        flow_name=name, flow_version=name, org_id=name, correlation_id=correlation, extra_env_vars={variable: ""}
    )


@pytest.mark.parametrize("profile", ["etl_pipeline:quick", "a/b@c.d-e", "7", "x" * 256])
def test_a_profile_is_a_name_with_more_characters(profile: str) -> None:
    assert read_request(to_json(LaunchRequest(**FLOW, profile=profile))).profile == profile


@pytest.mark.parametrize("profile", ["../x", "a/../b", "a..b", "/a", ":a", "a b", "a\n", "ü", "x" * 257])
def test_a_profile_is_no_path_to_elsewhere(profile: str) -> None:
    assert refused(FLOW | {"profile": profile}) == ["profile"]


def test_problems_of_several_fields_are_reported_at_once() -> None:
    assert set(refused({"flow_name": "", "org_id": "", "priority": 11, "nonsense": 1})) == {
        "flow_name",
        "org_id",
        "priority",
        "nonsense",
    }


def test_a_wrong_size_is_reported_beside_other_problems() -> None:
    assert set(refused({"flow_name": "f", "org_id": "", "cpu": 256, "memory": 9999})) == {"org_id", "size"}


def test_every_wrong_name_of_an_environment_is_reported() -> None:
    with pytest.raises(RequestInvalid) as caught:
        parse_request(FLOW | {"extra_env_vars": {"DAGY_A": "1", "B-B": "2"}})
    assert "DAGY_A" in str(caught.value.problems[0].allowed + caught.value.problems[-1].allowed)
    assert "B-B" in str(caught.value.problems[0].allowed + caught.value.problems[-1].allowed)


def test_a_container_may_leave_its_image_to_the_settings() -> None:
    assert parse_request({"org_id": "acme", "image": ""}, ContainerRequest).own_image == ""


def test_a_container_has_no_parameters() -> None:
    assert refused({"org_id": "acme", "image": "i", "parameters": {"a": 1}}, ContainerRequest) == ["parameters"]


def test_labels_are_short_names_for_people() -> None:
    assert LaunchRequest(**FLOW).label == "etl@latest"
    assert ContainerRequest(org_id="acme", image="1234.dkr.ecr.us-east-1.amazonaws.com/team/job:7").label == "job:7"


def test_what_is_read_without_a_kind_is_a_flow() -> None:
    assert read_request(FLOW) == LaunchRequest(**FLOW)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(RequestInvalid) as caught:
        read_request(FLOW | {"kind": "lambda"})
    assert [problem.field for problem in caught.value.problems] == ["kind"]


def test_a_wrong_size_is_named_when_a_request_is_read() -> None:
    with pytest.raises(RequestInvalid) as caught:
        read_request(FLOW | {"cpu": 256})
    assert [problem.field for problem in caught.value.problems] == ["size"]


@pytest.mark.parametrize("value", [[1], "text", 5])
def test_a_message_whose_request_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(RequestInvalid):
        read_request(value)


def test_parameters_that_utf8_cannot_carry_are_refused_before_they_are_sent() -> None:
    with pytest.raises(RequestInvalid):
        to_json(parse_request(FLOW | {"parameters": {"x": "\ud800"}}))


def test_a_region_must_be_that_of_the_clusters_arn() -> None:
    arn = "arn:aws:ecs:eu-west-1:123456789:cluster/dagy"
    assert LaunchRequest(org_id="a", flow_name="f", cluster=arn, region="eu-west-1").region == "eu-west-1"
    with pytest.raises(ValidationError, match="eu-west-1, as the cluster's ARN says"):
        LaunchRequest(org_id="a", flow_name="f", cluster=arn, region="us-east-1")
