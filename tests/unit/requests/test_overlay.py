from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.requests import ContainerRequest, parse_request
from dagy_queue.requests.overlay import overlay
from dagy_queue.requests.overrides import ContainerOverride
from tests.unit.strategies import TEMPLATE, unhurried

keys = st.sampled_from("ABC")
mappings = st.dictionaries(keys, st.sampled_from("xyz"), max_size=2)
listed = mappings.map(lambda found: [{"name": name, "value": value} for name, value in found.items()])
overrides = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["worker", "sidecar"])},
        optional={"environment": mappings, "command": st.lists(keys, max_size=2), "cpu": st.integers(0, 2)},
    ),
    max_size=2,
    unique_by=lambda override: override["name"],
)
plain_levels = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.none() | st.integers(0, 9),
        "org_id": st.none() | keys,
        "subnets": st.lists(keys, max_size=2),
        "parameters": mappings,
        "extra_env_vars": mappings | listed,
        "tags": st.none() | mappings,
        "container_overrides": overrides,
        "run_task_kwargs": st.fixed_dictionaries(
            {},
            optional={
                "group": keys,
                "launchType": st.sampled_from(["EC2", "FARGATE"]),
                "networkConfiguration": st.fixed_dictionaries({}, optional={"a": mappings, "b": keys}),
                "tags": mappings.map(lambda found: [{"key": k, "value": v} for k, v in found.items()]),
            },
        ),
        "cluster": keys,
    },
)
"""Levels that say nothing in two ways: there, the order of laying over is all that counts."""

sizes = st.sampled_from([{}, {"workload_profile": "small"}, {"cpu": 1, "memory": 2}])
sources = st.sampled_from([{}, {"image": "i"}, {"task_definition": "t"}, {"worker_image": "w"}])
capacities = st.sampled_from([{}, {"launch_type": "EC2"}, {"capacity_provider_strategy": ["s"]}])
levels = st.builds(
    lambda *parts: {k: v for part in parts for k, v in part.items()}, plain_levels, sizes, sources, capacities
)


@pytest.mark.parametrize(
    ("lower", "upper", "result"),
    [
        ({"priority": 1}, {"priority": 2}, {"priority": 2}),
        ({"priority": 1}, {"priority": 0}, {"priority": 0}),
        ({"priority": 1}, {"priority": None}, {"priority": 1}),
        ({}, {"priority": None}, {}),
        ({"subnets": ["a", "b"]}, {"subnets": ["c"]}, {"subnets": ["c"]}),
        ({"worker_image": "a"}, {"worker_image": ""}, {"worker_image": ""}),
    ],
)
def test_the_upper_level_wins_where_it_says_something(
    lower: dict[str, Any], upper: dict[str, Any], result: dict[str, Any]
) -> None:
    assert overlay(lower, upper) == result


@pytest.mark.parametrize("name", ["parameters", "extra_env_vars", "metadata", "secrets_env", "tags"])
def test_mappings_are_merged_by_key(name: str) -> None:
    assert overlay({name: {"A": "1", "B": "1"}}, {name: {"B": "2", "C": "2"}})[name] == {"A": "1", "B": "2", "C": "2"}


def test_values_inside_parameters_are_replaced_whole() -> None:
    assert overlay({"parameters": {"a": {"b": 1}}}, {"parameters": {"a": {"c": 2}}}) == {"parameters": {"a": {"c": 2}}}


def test_a_template_is_replaced_whole() -> None:
    upper = {"task_definition_template": {"family": "b"}}
    assert overlay({"task_definition_template": {"family": "a", "cpu": "256"}}, upper) == upper


def test_an_environment_in_ecs_form_is_merged_as_well() -> None:
    given_list = {"extra_env_vars": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]}
    assert overlay(given_list, {"extra_env_vars": {"B": "2"}})["extra_env_vars"] == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ({"cpu": 256, "memory": 512}, {"workload_profile": "max"}),
        ({"workload_profile": "max"}, {"cpu": 256, "memory": 512}),
        ({"launch_type": "EC2"}, {"capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT"}]}),
        ({"capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT"}]}, {"launch_type": "FARGATE"}),
        ({"image": "i"}, {"task_definition": "t"}),
        ({"worker_image": "i"}, {"task_definition": "t"}),
        ({"task_definition_template": TEMPLATE, "image": "i"}, {"task_definition": "t"}),
        ({"task_definition": "t"}, {"image": "i"}),
        ({"task_definition": "t"}, {"worker_image": "i"}),
        ({"task_definition": "t"}, {"task_definition_template": TEMPLATE}),
    ],
)
def test_another_way_to_say_the_same_takes_the_lower_levels_way_away(
    lower: dict[str, Any], upper: dict[str, Any]
) -> None:
    assert overlay(lower | {"org_id": "acme"}, upper) == upper | {"org_id": "acme"}


def test_a_level_that_uses_both_ways_keeps_both_for_validation_to_judge() -> None:
    both = {"launch_type": "EC2", "capacity_provider_strategy": ["s"]}
    assert overlay({"launch_type": "FARGATE"}, both) == both


def test_an_image_goes_into_a_template_of_a_lower_level() -> None:
    both = overlay({"task_definition_template": TEMPLATE}, {"image": "job:7"})
    assert both == {"task_definition_template": TEMPLATE, "image": "job:7"}


def test_container_overrides_are_merged_by_container_and_variable_in_either_spelling() -> None:
    lower = [
        {"name": "worker", "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}], "command": ["a"]},
        {"name": "sidecar", "memoryReservation": 64},
    ]
    upper = [{"name": "worker", "environment": {"B": "2"}}, {"name": "sidecar", "memory_reservation": 128, "cpu": 1}]
    merged = overlay({"container_overrides": lower}, {"container_overrides": upper})["container_overrides"]
    assert merged == [
        {"name": "worker", "environment": {"A": "1", "B": "2"}, "command": ["a"]},
        {"name": "sidecar", "memory_reservation": 128, "cpu": 1},
    ]


def test_container_overrides_are_merged_as_objects_too() -> None:
    lower = {"container_overrides": [{"name": "worker", "environment": {"A": "1"}}]}
    upper = {"container_overrides": [ContainerOverride(name="worker", command=("run",))]}
    assert overlay(lower, upper)["container_overrides"] == [
        {"name": "worker", "environment": {"A": "1"}, "command": ("run",)}
    ]


@pytest.mark.parametrize("wrong", [[{"name": "a"}, {"name": "a"}], [{"name": ["a"]}], ["a"], [{}]])
def test_wrong_container_overrides_are_left_for_validation_to_refuse(wrong: list[Any]) -> None:
    fine = {"container_overrides": [{"name": "b", "cpu": 1}], "org_id": "acme"}
    with pytest.raises(ValueError, match="container_overrides"):
        parse_request(overlay(fine, {"container_overrides": wrong}), ContainerRequest)


@pytest.mark.parametrize(
    ("lower", "upper", "result"),
    [
        ({"group": "a"}, {"group": "b"}, {"group": "b"}),
        (
            {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["a"], "assignPublicIp": "ENABLED"}}},
            {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["b", "c"]}}},
            {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["b", "c"], "assignPublicIp": "ENABLED"}}},
        ),
        (
            {"tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "1"}]},
            {"tags": [{"key": "b", "value": "2"}]},
            {"tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]},
        ),
        (
            {
                "overrides": {
                    "cpu": "256",
                    "containerOverrides": [{"name": "a", "environment": [{"name": "X"}], "cpu": 1}],
                }
            },
            {"overrides": {"containerOverrides": [{"name": "a", "environment": [{"name": "Y"}]}, {"name": "b"}]}},
            {
                "overrides": {
                    "cpu": "256",
                    "containerOverrides": [
                        {"name": "a", "environment": [{"name": "X"}, {"name": "Y"}], "cpu": 1},
                        {"name": "b"},
                    ],
                }
            },
        ),
        (
            {"launchType": "EC2", "group": "a"},
            {"capacityProviderStrategy": ["s"]},
            {"capacityProviderStrategy": ["s"], "group": "a"},
        ),
        ({"capacityProviderStrategy": ["s"]}, {"launchType": "EC2"}, {"launchType": "EC2"}),
        ({"placementConstraints": [1]}, {"placementConstraints": [2]}, {"placementConstraints": [2]}),
    ],
)
def test_run_task_kwargs_are_merged_recursively_and_lists_of_named_things_by_name(
    lower: dict[str, Any], upper: dict[str, Any], result: dict[str, Any]
) -> None:
    assert overlay({"run_task_kwargs": lower}, {"run_task_kwargs": upper}) == {"run_task_kwargs": result}


@unhurried
@given(levels, levels)
def test_levels_are_left_as_they_are(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    before = copy.deepcopy((lower, upper))
    overlay(lower, upper)
    assert (lower, upper) == before


@unhurried
@given(levels)
def test_an_empty_level_and_a_repeated_level_change_nothing(level: dict[str, Any]) -> None:
    once = overlay({}, level)
    assert overlay(level) == overlay(level, {}) == once
    assert _in_one_form(overlay(level, level)) == _in_one_form(once)


@unhurried
@given(plain_levels, plain_levels, plain_levels)
def test_it_does_not_matter_which_levels_are_laid_together_first(
    low: dict[str, Any], middle: dict[str, Any], high: dict[str, Any]
) -> None:
    at_once = _in_one_form(overlay(low, middle, high))
    assert _in_one_form(overlay(overlay(low, middle), high)) == at_once
    assert _in_one_form(overlay(low, overlay(middle, high))) == at_once


@unhurried
@given(st.lists(levels, max_size=4), levels)
def test_what_the_highest_level_says_is_what_counts(lower: list[dict[str, Any]], top: dict[str, Any]) -> None:
    result = overlay(*lower, top)
    for name, value in top.items():
        if value is not None and not isinstance(value, dict | list):
            assert result[name] == value
    assert None not in result.values()


@unhurried
@given(st.lists(levels, max_size=4))
def test_no_result_says_the_same_in_two_ways(many: list[dict[str, Any]]) -> None:
    result = overlay(*many)
    assert not ("workload_profile" in result and {"cpu", "memory"} & result.keys())
    assert not ({"launch_type", "capacity_provider_strategy"} <= result.keys())
    assert not ("task_definition" in result and {"image", "worker_image"} & result.keys())


def _in_one_form(fields: dict[str, Any]) -> dict[str, Any]:
    return overlay(fields, {"container_overrides": []}) if fields.get("container_overrides") else fields
