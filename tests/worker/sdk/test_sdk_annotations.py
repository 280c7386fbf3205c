"""Checking values against annotations: what surely does not fit is told with its place, all else fits."""
# ruff: noqa: UP007, UP045 - the older spellings of unions are a class of their own

from __future__ import annotations

import collections.abc
import typing
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional, Protocol, TypedDict, TypeVar, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy import DAG, flow, task
from dagy.annotations import LOOKED_AT, misfit
from dagy.errors import ArgumentError, ParameterError

if TYPE_CHECKING:
    from decimal import Decimal  # not there at run time

UserId = NewType("UserId", int)
T = TypeVar("T")


class Options(TypedDict):
    name: str


class Named(Protocol):
    name: str


class Text(str):
    __slots__ = ()


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError


@dataclass
class Row:
    n: int


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (1, int),
        (1, float),
        (Fraction(1, 2), float),
        (1.5, complex),
        (bytearray(b"x"), bytes),
        (True, bool),
        (None, None),
        (None, Optional[int]),
        ((1, "x"), typing.Tuple),  # noqa: UP006
        ("x", int | str),
        ([1], Union[int, list[int]]),
        ([1, 2], list[int]),
        ((1, "a"), tuple[int, str]),
        ((1, 2, 3), tuple[int, ...]),
        ((), tuple[()]),
        ((1, 2), collections.abc.Sequence[int]),
        ({"a": [1]}, dict[str, list[int]]),
        ({1, 2}, set[int]),
        ("a", Literal["a", "b"]),
        (3, UserId),
        ("x", Annotated[str, "a note"]),
        (len, collections.abc.Callable[[Any], int]),
        (int, type[int]),
        ({"name": "x"}, Options),
        (Row(1), Row),
        (object(), Named),
        ("anything", Any),
        ("anything", T),
        ("anything", "not.a.name"),
        (iter([1]), collections.abc.Iterable[str]),
        ([1] * LOOKED_AT + ["not looked at"], list[int]),
    ],
)
def test_what_fits(value: object, annotation: object) -> None:
    assert misfit(value, annotation) == ""


@pytest.mark.parametrize(
    ("value", "annotation", "problem"),
    [
        ("1", int, ": expected int, got str '1'"),
        (True, int, ": expected int, got bool True"),
        (None, int, ": expected int, got None"),
        (1, str, ": expected str, got int 1"),
        ("x", Optional[int], ": expected Optional[int], got str 'x'"),
        (1.5, int | str, ": expected int | str, got float 1.5"),
        ([1, "a"], list[int], "[1]: expected int, got str 'a'"),
        ("abc", list[str], ": expected list[str], got str 'abc'"),
        ((1,), tuple[int, int], ": expected tuple[int, int], got tuple (1,)"),
        ((1, 2), tuple[int, str], "[1]: expected str, got int 2"),
        ({"rows": [{"n": "x"}]}, dict[str, list[dict[str, int]]], "['rows'][0]['n']: expected int, got str 'x'"),
        ({1: "a"}, dict[str, str], "[1]: expected str, got int 1"),
        ("c", Literal["a", "b"], ": expected Literal['a', 'b'], got str 'c'"),
        (1, Literal[True], ": expected Literal[True], got int 1"),
        ("x", UserId, ": expected int, got str 'x'"),
        (3, collections.abc.Callable, ": expected collections.abc.Callable, got int 3"),
        ([], Options, f"expected {__name__}.Options, got list []"),
        ({}, Row, f"expected {__name__}.Row, got dict {{}}"),
        (Row(1), dict, ": expected dict, got Row"),
        ("x" * 58, int, f": expected int, got str '{'x' * 58}'"),
        ("x" * 500, int, ": expected int, got str <500 characters>"),
        (b"x" * 500, int, ": expected int, got bytes <500 bytes>"),
        (Text("x" * 500), int, ": expected int, got Text <500 characters>"),
        (
            ["x" * 500, {"y" * 70: b"z" * 80}],
            int,
            ": expected int, got list [<500 characters>, {<70 characters>: <80 bytes>}]",
        ),
        ({"x" * 500: "y"}, dict[str, int], "[<500 characters>]: expected int, got str 'y'"),
        ([Silent()], str, ": expected str, got list [<Silent>]"),
    ],
)
def test_what_does_not_fit(value: object, annotation: object, problem: str) -> None:
    assert misfit(value, annotation).endswith(problem)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def exact(value: object) -> Any:
    """Return an annotation that a value fits by its making."""
    if isinstance(value, list):
        return list[Union[*map(exact, value)]] if value else list  # type: ignore[misc]
    if isinstance(value, dict):
        return dict[str, Union[*map(exact, value.values())]] if value else dict  # type: ignore[misc]
    return type(value)


@given(values, values)
def test_a_value_fits_its_own_types_and_a_union_with_any_other(value: object, other: object) -> None:
    assert misfit(value, exact(value)) == ""
    assert misfit(value, Union[exact(value), exact(other)]) == ""
    assert misfit(value, typing.Any) == ""


@task
def count(rows: list[int], limit: int = 3, *more: str, **named: float) -> int:
    return len(rows) + limit


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: count("text"), "task 'count': rows: expected list\\[int\\], got str 'text'"),
        (lambda: count([1], "2"), "task 'count': limit: expected int, got str '2'"),
        (lambda: count([1], 2, "a", 3), r"task 'count': more\[1\]: expected str, got int 3"),
        (lambda: count([1], a=1.5, b="x"), "task 'count': b: expected float, got str 'x'"),
        (lambda: count(["x"], "y"), r"rows\[0\]: expected int, got str 'x'; limit: expected int"),
        (
            lambda: count(*()),
            r"missing a required argument: 'rows'. It is called as count\(rows, limit=3, \*more, \*\*nam",
        ),
    ],
)
def test_arguments_are_checked_where_the_flow_makes_the_call(call: Any, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        flow(call).run()


def test_values_of_tasks_are_checked_before_the_task_that_gets_them_and_it_is_not_tried_again() -> None:
    give = task(name="give")(lambda: ["a"])
    picky = task(name="picky", retries=5)(count.function)
    finished = flow(lambda: picky(give())).execute({})
    assert finished.failed_task == "picky"
    assert str(finished.error) == "task 'picky': rows[0]: expected int, got str 'a'"
    assert finished.tasks["picky"].attempts == 1


def test_templates_are_checked_when_they_are_rendered() -> None:
    with DAG("templated") as dag:
        count("{{ parameters.rows }}", limit="{{ parameters.limit }}")
    assert dag.run(rows=[1], limit=2) == 3
    with pytest.raises(ArgumentError, match="limit: expected int, got str '2'"):
        dag.run(rows=[1], limit="2")


def test_checks_can_be_switched_off() -> None:
    loose = task(name="loose", validate_parameters=False)(count.function)
    assert flow(lambda: loose("ab", 1)).run() == 3

    @flow(validate_parameters=False)
    def anything(n: int) -> object:
        return n

    assert anything.run(n="text") == "text"
    with pytest.raises(ArgumentError, match="missing a required argument"):
        flow(lambda: loose(*())).run()


def test_annotations_that_only_type_checkers_know_are_no_obstacle() -> None:
    @task
    def pay(amount: Decimal, times: int) -> int:
        return times

    assert flow(lambda: pay("1.50", 2)).run() == 2  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="times: expected int"):
        flow(lambda: pay("1.50", "2")).run()  # type: ignore[arg-type]


def test_a_default_of_none_may_be_given_whatever_the_annotation() -> None:
    @flow
    def optional(n: int = None) -> object:  # type: ignore[assignment]  # noqa: RUF013 - as people write it
        return n

    assert optional.run(n=None) is None
    assert optional.accepts("n", None)
    assert not optional.accepts("n", "x")
    assert optional.accepts("other", "x")


def test_parameters_of_a_flow_are_checked_by_their_annotations() -> None:
    @flow
    def typed(day: str, limit: int = 3, **more: int) -> object:
        return [day, limit]

    assert typed.run(day="monday", extra="unchecked") == ["monday", 3]
    with pytest.raises(ParameterError, match="flow 'typed': parameter day: expected str, got int 3; parameter limit"):
        typed.run(day=3, limit="4")
