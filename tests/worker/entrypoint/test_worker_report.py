"""Results as JSON, and where report and traceback go."""

from __future__ import annotations

import enum
import json
from collections import defaultdict
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy.contract import ReportStatus, RunReport
from dagy_worker.errors import ResultNotJson
from dagy_worker.report import encode_result, write_traceback


class Point(NamedTuple):
    x: int
    y: int


class Unwilling:
    def __repr__(self) -> str:
        raise RuntimeError


class Colour(enum.StrEnum):
    RED = "red"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_json_survives_unchanged(value: Any) -> None:
    assert json.loads(encode_result(value)) == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ((1, (2,)), "[1,[2]]"),
        (Point(1, 2), "[1,2]"),
        ({1: "a", None: 2.5, False: []}, '{"1":"a","null":2.5,"false":[]}'),
        (defaultdict(int, a=1), '{"a":1}'),
        (Colour.RED, '"red"'),
        ("é", '"é"'),
    ],
)
def test_what_json_can_write_is_written_as_json_does(value: Any, encoded: str) -> None:
    assert encode_result(value).decode() == encoded


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({1, 2}, "result is of type set"),
        ({"a": [0, {"b": date(2026, 1, 1)}]}, "result['a'][1]['b'] is of type datetime.date"),
        ([b"x"], "result[0] is of type bytes"),
        ({"p": (Fraction(1, 2),)}, "result['p'][0] is of type fractions.Fraction"),
        ({("a", 1): 2}, "result has the key ('a', 1) of type tuple"),
        ([1.0, float("nan")], "result[1] is nan"),
        ({"x": float("-inf")}, "result['x'] is -inf"),
        ({float("inf"): 1}, "result key inf is inf"),
        (["\ud800"], "result[0] is a string with half of a surrogate pair: '\\ud800'"),
        (["password\udfff"], "result[0] is a string with half of a surrogate pair: '\\udfff'"),
        ([{Unwilling(): 1}], f"result[0] has the key <that cannot be shown> of type {__name__}.Unwilling"),
    ],
)
def test_what_is_not_json_is_refused_by_place_and_type(value: Any, problem: str) -> None:
    with pytest.raises(ResultNotJson) as refused:
        encode_result(value)
    assert str(refused.value) == f"the flow's result is not JSON: {problem}"


def test_however_deep_a_result_is_it_arrives_or_is_refused() -> None:
    """Python says how deep JSON may be, wherever in the program it is made."""
    written: list[int] = []
    for depth in range(100, 1100, 3):
        value: list[Any] = []
        for _ in range(depth):
            value = [value]
        try:
            encoded = encode_result(value)
        except ResultNotJson as refused:
            assert "is nested too deeply" in str(refused)  # noqa: PT017 - some are refused and some are not
            continue
        report = RunReport(run_id="r", attempt=1, status=ReportStatus.SUCCEEDED, result=json.loads(encoded))
        assert RunReport.from_json(report.to_json()).result == value
        written.append(depth)
    assert max(written) > 500


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ResultNotJson, match="is nested too deeply, or contains itself"):
        encode_result(value)


@pytest.mark.parametrize(
    ("uri", "written"),
    [
        ("s3://b/t", "s3://b/t/traceback.txt"),
        ("s3://b/t/", "s3://b/t/traceback.txt"),
        ("s3://b/mine.txt", "s3://b/mine.txt"),
    ],
)
def test_the_traceback_goes_under_the_uri_or_to_the_file_it_names(uri: str, written: str) -> None:
    class Storage:
        def write(self, uri: str, content: bytes, content_type: str) -> None:
            self.call = (uri, content, content_type)

    storage = Storage()
    assert write_traceback(storage, "é\ud800", uri) == written  # type: ignore[arg-type]
    assert storage.call == (written, "é\\ud800".encode(), "text/plain; charset=utf-8")
