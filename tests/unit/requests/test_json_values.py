from __future__ import annotations

import json
import math
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.requests.json_values import json_problems
from tests.unit.strategies import json_values, unhurried

unfit = st.sampled_from([math.nan, math.inf, -math.inf, {1}, b"bytes", object(), Decimal(1), 1j, frozenset()])
Step = str | int


def fields(value: Any) -> list[str]:
    return [problem.field for problem in json_problems(value, "p")]


def wrapped(value: Any, path: list[Step]) -> tuple[Any, str]:
    """Put a value at the end of a path of keys and indexes; return the whole and the path in words."""
    for step in reversed(path):
        value = {step: value, "beside": 1} if isinstance(step, str) else [*range(step), value]
    return value, "p" + "".join(f".{s}" if isinstance(s, str) else f"[{s}]" for s in path)


paths = st.lists(st.sampled_from(["a", "b c", "é"]) | st.integers(0, 3), max_size=6)


@unhurried
@given(json_values)
def test_what_json_carries_unchanged_is_accepted(value: Any) -> None:
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert fields(value) == []


@unhurried
@given(
    st.recursive(json_values | unfit, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner))
)
def test_what_is_accepted_is_carried_unchanged(value: Any) -> None:
    if not fields(value):
        assert json.loads(json.dumps(value, allow_nan=False)) == value


@unhurried
@given(unfit, paths)
def test_what_json_cannot_carry_is_refused_where_it_is(value: Any, path: list[Step]) -> None:
    whole, where = wrapped(value, path)
    assert fields(whole) == [where]


@unhurried
@given(st.integers() | st.none() | st.booleans() | st.tuples(st.text()), paths)
def test_a_key_that_is_no_string_is_refused_where_it_is(key: Any, path: list[Step]) -> None:
    whole, where = wrapped({key: 1}, path)
    assert fields(whole) == [f"{where} key"]


def test_every_place_is_named() -> None:
    assert fields({"a": [math.nan, 1], "b": {"c": {2}}}) == ["p.a[0]", "p.b.c"]


def test_a_tuple_counts_as_a_list() -> None:
    assert fields({"a": (1, "x")}) == []


def test_values_nested_deeper_than_any_reader_likes_are_refused() -> None:
    whole, _ = wrapped(1, [0] * 65)
    assert len(fields(whole)) == 1


def test_a_cycle_is_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    assert len(fields(cycle)) == 1


def test_a_cycle_with_branches_gives_no_flood_of_problems() -> None:
    parent: dict[str, Any] = {"name": "parent"}
    parent["children"] = [{"name": n, "parent": parent} for n in range(4)]
    assert len(list(islice(json_problems(parent, "p"), 1001))) <= 1000


@pytest.mark.parametrize("value", [{"x": "\ud800"}, {"\udfff": 1}])
def test_text_that_utf8_cannot_carry_is_refused(value: Any) -> None:
    assert fields(value) != []
