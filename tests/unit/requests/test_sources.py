from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import RequestInvalid
from dagy_queue.requests.sources import Manifest, grid, lines, manifest, shard_range
from tests.unit.strategies import json_leaves, matching, unhurried

axes = st.dictionaries(matching("[a-z]{1,5}"), st.lists(json_leaves, max_size=4), min_size=1, max_size=3)


@unhurried
@given(axes)
def test_a_grid_counts_like_an_odometer(lists: dict[str, list[Any]]) -> None:
    shards = grid(**lists)
    assert len(shards) == math.prod(map(len, lists.values()))
    for number, shard in enumerate(shards):
        left, expected = number, {}
        for name, values in reversed(lists.items()):
            left, place = divmod(left, len(values))
            expected[name] = values[place]
        assert list(shard.items()) == list(reversed(expected.items()))


def test_the_last_name_of_a_grid_changes_fastest() -> None:
    assert grid(year=range(1999, 2001), region=["eu", "us"]) == [
        {"year": 1999, "region": "eu"},
        {"year": 1999, "region": "us"},
        {"year": 2000, "region": "eu"},
        {"year": 2000, "region": "us"},
    ]


@pytest.mark.parametrize("values", ["eu", b"eu", {"eu": 1}, {"eu", "us"}, 3, None])
def test_a_grid_wants_values_in_an_order(values: object) -> None:
    with pytest.raises(RequestInvalid, match=r"grid\.region"):
        grid(year=[1], region=values)  # type: ignore[arg-type]


def test_a_grid_of_nothing_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="at least one name"):
        grid()


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-5, 5).filter(bool))
def test_a_range_counts_as_pythons(start: int, stop: int, step: int) -> None:
    assert [shard["n"] for shard in shard_range("n", start, stop, step)] == list(range(start, stop, step))


@pytest.mark.parametrize("bounds", [(1.5, 3), ("1", 2), (1, 5, 0)])
def test_a_range_that_cannot_be_is_refused(bounds: Any) -> None:
    with pytest.raises(RequestInvalid, match="a range of whole numbers"):
        shard_range("n", *bounds)


@pytest.mark.parametrize("uri", ["", "bucket/key.csv", "s3://bucket", "s3:///key.csv", "https://b/key.csv", None, 3])
def test_a_manifest_is_an_object_in_s3(uri: Any) -> None:
    with pytest.raises(RequestInvalid, match="s3://bucket/key"):
        manifest(uri)


def test_a_manifest_travels_as_text() -> None:
    asked = manifest("s3://bucket/a folder/50%?#.csv.gz", types={"n": int, "name": "str"}).limited(7)
    assert Manifest.from_json(asked.to_json()) == asked
    assert (asked.bucket, asked.key) == ("bucket", "a folder/50%?#.csv.gz")


@pytest.mark.parametrize(
    ("own", "other", "both"), [(None, None, None), (3, None, 3), (None, 4, 4), (3, 4, 3), (4, 3, 3)]
)
def test_the_lower_limit_of_a_manifest_counts(own: int | None, other: int | None, both: int | None) -> None:
    assert manifest("s3://b/k.csv").limited(own).limited(other).most == both


def test_a_file_is_not_opened_before_it_is_fanned_out() -> None:
    assert lines("nowhere.csv").path == "nowhere.csv"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: grid(n=range(10**20)), "grid = 'n: 100,000,000,000,000,000,000'"),
        (lambda: grid(a=range(4000), b=range(9000, 0, -3)), "grid = 'a: 4,000 x b: 3,000'"),
        (lambda: shard_range("n", 0, 10**9, 2), "range = 'n: 500,000,000'"),
    ],
)
def test_more_shards_than_can_be_made_here_are_refused_before_one_is(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        make()
    assert f"{said}: at most 10,000,000 shards; a larger batch is a manifest in S3" in str(caught.value)
