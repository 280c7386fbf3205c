from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests import ContainerRequest, LaunchRequest, parse_request, read_request
from dagy_queue.requests.parsing import model_of, nearest
from tests.unit.strategies import json_values, unhurried

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}
SECRET = "hunter2-hunter2"

WRONG: dict[str, tuple[Any, str, str]] = {
    "flow_name": ("../x", "flow_name", "1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit"),
    "environment": ("../x", "environment", "1 to 128 letters"),
    "deployment_name": ("../x", "deployment_name", "1 to 128 letters"),
    "profile": ("../x", "profile", "starting with a letter or digit, without '..'"),
    "correlation_id": ("a b", "correlation_id", "1 to 200 letters, digits and _ . : / = + @ # , -"),
    "parameters": ({"ratio": math.nan}, "parameters", "parameters.ratio = nan: JSON has no NaN"),
    "metadata": ({"by": {5: "x"}}, "metadata", "metadata.by key = 5: JSON object keys are strings"),
    "extra_env_vars": ({"DAGY_RUN_ID": "x", "A-B": "x"}, "extra_env_vars", "DAGY_RUN_ID is reserved"),
    "secrets_env": ({"DB": SECRET}, "secrets_env", "DB: the ARN of a Secrets Manager secret"),
    "container_overrides": (
        [{"name": "worker", "environment": {"TASK_NAME": "x"}}],
        "container_overrides.0.environment",
        "TASK_NAME is reserved",
    ),
    "run_task_kwargs": ({"count": 3}, "run_task_kwargs", "count cannot be set: a run is one task"),
    "subnets": ([f"subnet-{n}" for n in range(17)], "subnets", "at most 16; 17 given"),
    "security_groups": ([f"sg-{n}" for n in range(6)], "security_groups", "at most 5; 6 given"),
    "tags": ({"aws:x": "y"}, "tags", "'aws:x': keys that start with aws: or dagy: are reserved"),
    "retry_delay": ("soon", "retry_delay", "a number of seconds, or a duration such as '30s'"),
    "priority": (10, "priority", "0 to 9"),
    "max_retries": ("many", "max_retries", "a whole number"),
    "ephemeral_storage_gib": (20, "ephemeral_storage_gib", "21 to 200 GiB, or leave it out for 20"),
    "workload_profile": ("huge", "workload_profile", "one of small, medium, large, xlarge, heavy, max"),
    "task_definition_template": ({}, "task_definition_template", "containerDefinitions is missing or empty"),
    "parametres": ({"a": 1}, "parametres", "no such field; did you mean parameters?"),
}
"""By field: a wrong value, the problem's name, and some of what it says is allowed."""
HIDDEN = {"secrets_env", "extra_env_vars", "container_overrides", "run_task_kwargs", "task_definition_template"}
"""Fields whose values are never shown."""
SIZE = {"cpu": 1024, "memory": 16384}


def refusal(fields: Any, model: Any = LaunchRequest) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as caught:
        parse_request(fields, model)
    return caught.value


def test_every_problem_is_told_at_once_with_its_field_its_value_and_what_is_allowed() -> None:
    error = refusal({name: value for name, (value, _, _) in WRONG.items()} | SIZE)
    told = {problem.field: problem for problem in error.problems}
    assert told.keys() == {named for _, named, _ in WRONG.values()} | {"org_id", "size"}
    assert len(error.problems) == len(WRONG) + 2
    for _, named, allowed in WRONG.values():
        assert allowed in told[named].allowed
        assert f"\n  - {told[named]}" in str(error)
    assert told["org_id"] == Problem("org_id", None, "required")
    assert told["size"].allowed == "cpu 1024 with memory 16384: choose memory 2048-8192 in steps of 1024, or cpu 2048"
    assert str(error).startswith(f"the request has {len(WRONG) + 2} problems, nothing was sent:")


@pytest.mark.parametrize("name", sorted(WRONG.keys() - HIDDEN))
def test_a_problem_has_the_value_that_was_given(name: str) -> None:
    value, named, _ = WRONG[name]
    (problem,) = refusal(FLOW | {name: value}).problems
    assert problem.field == named
    assert str(problem.value) == str(value)  # as text: NaN equals nothing


@pytest.mark.parametrize("name", sorted(HIDDEN))
def test_what_may_hold_a_secret_is_not_shown(name: str) -> None:
    (problem,) = refusal(FLOW | {name: WRONG[name][0]}).problems
    assert problem.value == "(hidden)"


@unhurried
@given(st.sets(st.sampled_from(sorted(WRONG)), min_size=1))
def test_no_problem_hides_another(chosen: set[str]) -> None:
    error = refusal(FLOW | {name: WRONG[name][0] for name in chosen})
    assert sorted(problem.field for problem in error.problems) == sorted(WRONG[name][1] for name in chosen)


def test_templates_are_judged_beside_everything_else() -> None:
    error = refusal(FLOW | {"priority": 10, "parameters": {"a": "{{ run.nobody }}"}})
    assert [problem.field for problem in error.problems] == ["priority", "parameters.a"]


@pytest.mark.parametrize(
    ("given_name", "meant"),
    [
        ("parameter", "parameters"),
        ("max_retry", "max_retries"),
        ("secret_env", "secrets_env"),
        ("extra_env_var", "extra_env_vars"),
        ("ephemeral_storage", "ephemeral_storage_gib"),
        ("subnet", "subnets"),
    ],
)
def test_a_misspelt_field_is_told_the_nearest_there_is(given_name: str, meant: str) -> None:
    (problem,) = refusal(FLOW | {given_name: "x"}).problems
    assert problem.field == given_name
    assert problem.allowed == f"no such field; did you mean {meant}?"


def test_a_field_like_no_other_gets_no_hint() -> None:
    assert nearest("xyzzy") == ""
    assert refusal(FLOW | {"xyzzy": 1}).problems == (Problem("xyzzy", 1, "no such field"),)


@pytest.mark.parametrize("fields", [FLOW | {5: 1}, FLOW | {None: 1}, {("a",): "b"} | FLOW])
def test_a_name_that_is_no_string_is_a_problem_like_any_other(fields: dict[Any, Any]) -> None:
    for model in (LaunchRequest, ContainerRequest):
        assert "Keys should be strings" in str(refusal(fields, model))


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        (FLOW, LaunchRequest),
        (FLOW | {"task_definition": "t"}, LaunchRequest),
        ({}, LaunchRequest),
        ({"image": "i"}, ContainerRequest),
        ({"command": ["a"]}, ContainerRequest),
        ({"task_definition": "t"}, ContainerRequest),
        ({"task_definition_template": {}}, ContainerRequest),
        ({"kind": "container"}, ContainerRequest),
        ({"kind": "flow", "image": "i"}, LaunchRequest),
    ],
)
def test_the_fields_say_what_is_launched(fields: dict[str, Any], model: type) -> None:
    assert model_of(fields) is model


@pytest.mark.parametrize("kind", ["lambda", "", 5, ["flow"], {}])
def test_an_unknown_kind_is_refused_with_the_kinds_there_are(kind: Any) -> None:
    with pytest.raises(RequestInvalid) as caught:
        model_of({"kind": kind})
    assert caught.value.problems == (Problem("kind", kind, "one of flow, container"),)


leaves = json_values | st.sampled_from(
    [b"x", object(), {1}, math.nan, "\ud800", "\0", "256", "FARGATE", ("a",), {5: 6}]
)
inner_names = st.sampled_from(
    [
        "name",
        "value",
        "key",
        "cpu",
        "memory",
        "environment",
        "containerOverrides",
        "overrides",
        "tags",
        "launchType",
        "capacityProviderStrategy",
        "capacityProvider",
        "weight",
        "networkConfiguration",
        "awsvpcConfiguration",
        "subnets",
        "securityGroups",
        "ephemeralStorage",
        "sizeInGiB",
        "containerDefinitions",
        "image",
        "family",
        "secrets",
        "valueFrom",
        "requiresCompatibilities",
        "networkMode",
        "taskDefinition",
    ]
)
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(inner_names, inner, max_size=4),
    max_leaves=15,
)
"""Values as wild as callers', with the names that ECS has in its API."""


def is_taken(fields: Any) -> bool:
    """Tell whether fields make a request; fail unless a refusal has its reasons."""
    for read in (lambda: read_request(fields), lambda: parse_request(fields)):
        try:
            read()
        except RequestInvalid as exc:
            if not exc.problems:
                raise
            return False
    return True


@unhurried
@given(json_values)
def test_json_without_the_names_of_fields_is_refused_in_words(value: Any) -> None:
    assert not is_taken(value if isinstance(value, dict) else {"kind": value})


@with_settings(unhurried, max_examples=200)
@given(st.dictionaries(st.sampled_from(sorted(LaunchRequest.model_fields)), documents, max_size=4))
def test_any_value_of_any_field_is_taken_or_refused_in_words(fields: dict[str, Any]) -> None:
    is_taken(FLOW | fields)


@with_settings(unhurried, max_examples=300)
@given(
    st.sampled_from(
        ["container_overrides", "run_task_kwargs", "task_definition_template", "capacity_provider_strategy"]
    ),
    st.dictionaries(inner_names, documents) | st.lists(documents, max_size=3),
)
def test_any_document_in_the_form_of_the_api_is_taken_or_refused_in_words(field: str, document: Any) -> None:
    is_taken(FLOW | {field: document})
    is_taken(FLOW | {field: {"overrides": document, "containerDefinitions": document}})


def test_long_values_are_cut_in_the_text_but_not_in_the_problem() -> None:
    error = refusal(FLOW | {"cluster": "a b" * 1000})
    assert len(str(error)) < 400
    assert error.problems[0].value == "a b" * 1000
