from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import RequestInvalid
from dagy_queue.producer.canvas import to_json
from dagy_queue.requests import ContainerRequest, LaunchRequest, parse_request, read_request
from dagy_queue.requests.templating import NAMES, TEMPLATED, rendered, template_problems
from tests.unit.strategies import any_requests, json_objects, unhurried

FLOW: dict[str, Any] = {
    "flow_name": "etl",
    "flow_version": "7",
    "org_id": "acme",
    "environment": "staging",
    "correlation_id": "trace:3",
}
FACTS: dict[str, Any] = {"run_id": "run-1", "batch_id": "batch-1", "shard": 3}


def filled(text: Any) -> Any:
    return rendered(FLOW | {"parameters": {"p": text}}, **FACTS)["parameters"]["p"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "run-1"),
        ("org_id", "acme"),
        ("environment", "staging"),
        ("correlation_id", "trace:3"),
        ("batch_id", "batch-1"),
        ("shard", "3"),
        ("flow_name", "etl"),
        ("flow_version", "7"),
    ],
)
def test_every_name_is_filled_in(name: str, value: str) -> None:
    assert filled(f"{{{{ run.{name} }}}}") == value
    assert filled(f"s3://b/{{{{run.{name}}}}}/{{{{  run.{name}}}}}.csv") == f"s3://b/{value}/{value}.csv"


def test_every_name_there_is_was_tested() -> None:
    pattern = test_every_name_is_filled_in.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {name for name, _ in pattern} == set(NAMES)


def test_a_single_run_is_shard_0_of_no_batch() -> None:
    values = rendered(
        {"flow_name": "f", "org_id": "o", "parameters": {"p": "{{run.shard}}|{{run.batch_id}}"}}, run_id="r"
    )
    assert values["parameters"]["p"] == "0|"


def test_what_a_request_leaves_out_has_the_value_it_will_have() -> None:
    text = "{{run.flow_version}}|{{run.correlation_id}}|{{run.environment}}"
    assert rendered({"flow_name": "f", "org_id": "o", "parameters": {"p": text}}, run_id="r")["parameters"]["p"] == (
        "latest|r|"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{{ user.id }}",
        "{{ runs.id }}",
        "{{ run }}",
        "{ run.id }",
        "{% run.id %}",
        "{{ id }}",
        "{{}}",
        "{{ run.id }",
        "${run.id}",
    ],
)
def test_other_braces_are_left_alone(text: str) -> None:
    assert filled(text) == text
    assert list(template_problems(text, "p")) == []


def test_every_templated_field_is_filled_at_any_depth_and_no_other() -> None:
    text, done = "{{ run.id }}", "run-1"
    request = {
        "parameters": {"a": [{"b": text}, 5, None], "{{ run.id }}": True},
        "extra_env_vars": {"A": text},
        "command": ("echo", text),
        "container_overrides": [{"name": "w", "command": [text], "environment": {"A": text}}],
        "metadata": {"a": text},
        "tags": {"a": text},
    }
    assert rendered(request, **FACTS) == {
        "parameters": {"a": [{"b": done}, 5, None], "{{ run.id }}": True},
        "extra_env_vars": {"A": done},
        "command": ["echo", done],
        "container_overrides": [{"name": "w", "command": [done], "environment": {"A": done}}],
        "metadata": {"a": text},
        "tags": {"a": text},
    }


def test_nothing_is_filled_in_twice() -> None:
    request = FLOW | {"correlation_id": "{{run.id}}", "parameters": {"p": "{{ run.correlation_id }}"}}
    assert rendered(request, **FACTS)["parameters"]["p"] == "{{run.id}}"


def test_what_is_filled_in_makes_no_new_reference_with_its_neighbours() -> None:
    request = FLOW | {"correlation_id": "run.id", "parameters": {"p": "{{ {{run.correlation_id}} }}"}}
    assert rendered(request, **FACTS)["parameters"]["p"] == "{{ run.id }}"


@unhurried
@given(json_objects)
def test_values_without_references_stay_as_they_are(parameters: dict[str, Any]) -> None:
    request = FLOW | {"parameters": parameters}
    before = copy.deepcopy(request)
    assert rendered(request, **FACTS) == before == request


@unhurried
@given(any_requests)
def test_a_rendered_request_is_still_acceptable(request: LaunchRequest | ContainerRequest) -> None:
    done = to_json(read_request(rendered(to_json(request), **FACTS)))
    assert "{{ run." not in str([done.get(name) for name in TEMPLATED])


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"parameters": {"a": ["x", {"b": "{{ run.nobody }}"}]}}, "parameters.a[1].b"),
        ({"extra_env_vars": {"A": "{{run.nobody}}"}}, "extra_env_vars.A"),
        (
            {"container_overrides": [{"name": "w", "command": ["{{ run.nobody }}"]}]},
            "container_overrides[0].command[0]",
        ),
    ],
)
def test_an_unknown_name_is_refused_where_it_is_with_the_names_there_are(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        parse_request(FLOW | fields)
    (problem,) = caught.value.problems
    assert problem.field == place
    assert problem.value.strip("{} ") == "run.nobody"
    assert problem.allowed == f"run. and one of {', '.join(NAMES)}"


@pytest.mark.parametrize("name", ["", "ID", "id.x", "shards", "flow"])
def test_a_name_that_is_nearly_right_is_refused(name: str) -> None:
    assert [problem.value for problem in template_problems(f"a {{{{ run.{name} }}}}", "p")] == [f"{{{{ run.{name} }}}}"]


@pytest.mark.parametrize("depth", [100, 5000])
def test_values_that_are_too_deep_or_contain_themselves_are_refused_in_words(depth: int) -> None:
    deep: Any = "{{ run.nobody }}"
    for _ in range(depth):
        deep = [deep]
    cycle: dict[str, Any] = {"a": "{{ run.nobody }}"}
    cycle["b"] = [cycle, cycle]
    for value in (deep, cycle):
        with pytest.raises(RequestInvalid, match=r"nest at most 64 levels|must not contain itself"):
            parse_request(FLOW | {"parameters": {"p": value}})


@unhurried
@given(st.lists(st.sampled_from(["{{", "}}", "{", "run.", "id", "shard", " ", "x"]), max_size=12).map("".join))
def test_what_raises_no_problem_leaves_no_reference_behind(text: str) -> None:
    if not list(template_problems(text, "p")):
        assert list(template_problems(filled(text), "p")) == []
