from __future__ import annotations

import enum
import json
import math
from collections import UserDict
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.deltas import SPEC_CHUNK, ShardSpec, delta_of, spec_of
from dagy_queue.requests.json_values import MAX_DEPTH, json_problems
from tests.unit.strategies import json_objects, unhurried

FLOW = LaunchRequest(org_id="acme", flow_name="etl")
CONTAINER = ContainerRequest(org_id="acme", image="python:3.12", command=("true",))


def spec(rows: list[Any], request: Any = FLOW) -> ShardSpec:
    return spec_of(request, enumerate(rows), "shards[{}]".format)


def kept(spec: ShardSpec) -> list[Any]:
    return [delta for text in spec.chunks for delta in json.loads(text)]


def refused(rows: list[Any], request: Any = FLOW) -> list[str]:
    with pytest.raises(RequestInvalid) as caught:
        spec(rows, request)
    return [problem.field for problem in caught.value.problems]


def nested(levels: int) -> dict[str, Any]:
    value: Any = {}
    for _ in range(levels - 2):
        value = [value]
    return {"v": value}


class Level(enum.IntEnum):
    HIGH = 3


@unhurried
@given(st.lists(json_objects, max_size=30))
def test_what_is_kept_is_what_was_given(rows: list[dict[str, Any]]) -> None:
    assert [delta.get("parameters", {}) for delta in kept(spec(rows))] == rows
    assert kept(spec(rows)) == [delta_of(FLOW, row) for row in rows] == kept(ShardSpec.of(kept(spec(rows))))


@pytest.mark.parametrize("total", [0, 1, SPEC_CHUNK - 1, SPEC_CHUNK, SPEC_CHUNK + 1, 3 * SPEC_CHUNK])
def test_shards_are_kept_in_chunks(total: int) -> None:
    made = spec([{"n": n} for n in range(total)])
    assert made.total == total == len(kept(made))
    assert all(len(json.loads(text)) == SPEC_CHUNK for text in made.chunks[:-1])


@unhurried
@given(
    st.lists(
        json_objects
        | st.sampled_from([{"v": v} for v in (math.nan, {1}, b"", Decimal(1), "\ud800", {1: 2}, (1, 2), Level.HIGH)])
        | st.sampled_from([nested(MAX_DEPTH), nested(MAX_DEPTH + 1), nested(2000), {1: 2}, {"\udfff": 1}]),
        max_size=8,
    )
)
def test_the_quick_way_lets_nothing_through(rows: list[dict[Any, Any]]) -> None:
    expected = [p.field for index, row in enumerate(rows) for p in json_problems(row, f"shards[{index}]")]
    if expected:
        assert refused(rows) == expected[:20]
    else:
        assert len(kept(spec(rows))) == len(rows)


def test_any_mapping_is_a_shard() -> None:
    rows = [MappingProxyType({"n": 1}), UserDict({"n": 2}), {"n": (3, Level.HIGH)}]
    assert [delta["parameters"]["n"] for delta in kept(spec(rows))] == [1, 2, [3, 3]]


@pytest.mark.parametrize("row", ["three", 3, None, ["n"], [("n", 1)], "", ()])
@pytest.mark.parametrize("request_", [FLOW, CONTAINER])
def test_what_is_no_mapping_is_refused(row: Any, request_: Any) -> None:
    assert refused([{}, row], request_) == ["shards[1]"]


def test_templates_that_name_nothing_are_refused() -> None:
    assert refused([{"at": "{{ run.shard }}"}, {"at": "{{ run.shart }}"}]) == ["shards[1].at"]
    assert spec([{"at": "{{ run.shard }} {{ mustache }}"}]).total == 1


def test_no_more_problems_are_told_than_people_read() -> None:
    assert len(refused([{"v": {1}}] * 5000)) == 20


def test_what_differs_between_containers_must_be_a_request() -> None:
    rows: list[Any] = [
        {"command": ["a"]},
        {"cluster": "other"},
        {"comand": []},
        {"cpu": 3},
        {"metadata": {"v": {1}}},
        {},
    ]
    assert refused(rows, CONTAINER) == ["shards[1].cluster", "shards[2].comand", "shards[3].cpu", "shards[4].metadata"]


def test_containers_keep_the_fields_that_differ() -> None:
    rows: list[Any] = [{"command": ("a", "b")}, {}, {"extra_env_vars": {"N": "1"}}]
    assert kept(spec(rows, CONTAINER)) == [{"command": ["a", "b"]}, {}, {"extra_env_vars": {"N": "1"}}]
    assert delta_of(CONTAINER, {"command": ["a"]}) == {"command": ["a"]}


def test_values_that_only_python_knows_are_refused_in_containers() -> None:
    assert refused([{"priority": Decimal(1)}], CONTAINER) == ["shards[0].priority"]


def test_problems_of_reading_are_told_with_those_of_the_shards() -> None:
    found = [Problem("f[1]", "", "not read")]
    with pytest.raises(RequestInvalid) as caught:
        spec_of(FLOW, [(2, {"v": {1}})], "f[{}]".format, found)
    assert [problem.field for problem in caught.value.problems] == ["f[1]", "f[2].v"]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"cluster": "other"}, "cluster"),
        ({"launch_type": "EC2"}, "launch_type"),
        ({"run_task_kwargs": {"cluster": "other"}}, "run_task_kwargs.cluster"),
        ({"run_task_kwargs": {"launchType": "EC2"}}, "run_task_kwargs.launchType"),
        ({"run_task_kwargs": {"capacityProviderStrategy": []}}, "run_task_kwargs.capacityProviderStrategy"),
    ],
)
def test_a_shard_goes_where_its_batch_goes(row: dict[str, Any], field: str) -> None:
    assert refused([{"command": ["a"]}, row], CONTAINER) == [f"shards[1].{field}"]


def test_a_shard_may_have_other_parameters_of_run_task() -> None:
    rows = [{"run_task_kwargs": {"platformVersion": "1.4.0"}}]
    assert kept(spec(rows, CONTAINER)) == rows
