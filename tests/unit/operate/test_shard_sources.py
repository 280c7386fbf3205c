from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from dagy_queue.errors import RequestInvalid
from dagy_queue.operate.shard_sources import axes_of, check_places, has_blanks, into_command, rows_of, source_of
from dagy_queue.requests.rows import format_of
from dagy_queue.requests.sources import FileLines, Manifest, lines, manifest


def source(**given: Any) -> Any:
    usual: dict[str, Any] = {"grids": (), "ranges": (), "file": "", "manifest_uri": "", "types": (), "form": "jsonl"}
    return source_of(**{**usual, **given})


def test_grids_and_ranges_make_every_combination() -> None:
    assert source(grids=["region=eu,us"], ranges=["year=1999:2001"]) == [
        {"region": "eu", "year": 1999},
        {"region": "eu", "year": 2000},
        {"region": "us", "year": 1999},
        {"region": "us", "year": 2000},
    ]


def test_the_values_of_a_grid_are_json_where_they_can_be() -> None:
    assert axes_of(["a=1,x,true"], []) == {"a": [1, "x", True]}
    assert list(axes_of([], ["n=10:0:-5"])["n"]) == [10, 5]


@pytest.mark.parametrize("text", ["n=1", "n=a:b", "n=1:2:0", "n=1:2:3:4"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(RequestInvalid, match="START:STOP"):
        axes_of([], [text])


def test_a_file_and_a_manifest_are_named() -> None:
    found = source(file="shards.csv", types=["year=int"])
    assert isinstance(found, FileLines)
    assert (found.path, found.form.types) == ("shards.csv", {"year": "int"})
    assert isinstance(source(manifest_uri="s3://bucket/shards.jsonl"), Manifest)
    assert source() is None


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"grids": ["a=1", "b=2"], "file": "x.csv"}, "file = 'x.csv': {}grid = 'a=1 b=2' as well"),
        ({"ranges": ["n=0:1"], "manifest_uri": "s3://b/k"}, "manifest = 's3://b/k': {}range = 'n=0:1' as well"),
        ({"file": "x.csv", "manifest_uri": "s3://b/k"}, "manifest = 's3://b/k': {}file = 'x.csv' as well"),
        ({"grids": ["a=1"], "ranges": ["n=0:1"], "file": "-"}, "file = '-': {}grid = 'a=1' as well"),
    ],
)
def test_several_sources_are_refused_as_they_were_typed(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        source(**given)
    assert problem.format("one source of shards; there is ") in str(caught.value)


def test_rows_are_read_from_a_stream() -> None:
    stream = io.BufferedReader(io.BytesIO(b'{"n": 1}\n\n{"n": 2}\n'))  # type: ignore[arg-type]
    assert rows_of(stream, format_of("stdin.jsonl")) == [{"n": 1}, {"n": 2}]


def test_every_line_that_is_wrong_is_named() -> None:
    stream = io.BufferedReader(io.BytesIO(b'{"n": 1}\nnonsense\n[]\n'))  # type: ignore[arg-type]
    with pytest.raises(RequestInvalid) as caught:
        rows_of(stream, format_of("stdin.jsonl"))
    assert [problem.field for problem in caught.value.problems] == ["stdin[line 2]", "stdin[line 3]"]


def test_a_command_takes_the_values_of_each_row() -> None:
    command = ["analyze", "--year", "{year}", "{region}/{year}.csv", "{1: 2}"]
    assert has_blanks(command)
    assert into_command(command, [{"year": 1999, "region": "eu"}]) == [
        {"command": ["analyze", "--year", "1999", "eu/1999.csv", "{1: 2}"]}
    ]


def test_a_command_takes_the_values_of_a_files_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("year\n1999\n")
    assert into_command(["{year}"], lines(tmp_path / "rows.csv")) == [{"command": ["1999"]}]
    with pytest.raises(RequestInvalid, match="a file that can be read"):
        into_command(["{year}"], lines(tmp_path / "none.csv"))


@pytest.mark.parametrize("row", [{}, {"year": 1, "more": 2}, {"yaer": 1}])
def test_a_row_with_other_names_than_the_command_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid, match="the names that the command has in braces, year, and no others"):
        into_command(["{year}"], [row])


def test_a_manifest_is_read_by_the_dispatcher_so_it_cannot_fill_a_command() -> None:
    with pytest.raises(RequestInvalid, match="rows that are read here"):
        into_command(["{year}"], manifest("s3://bucket/shards.jsonl"))


def test_a_containers_command_without_a_place_for_the_values_is_refused_with_one() -> None:
    with pytest.raises(RequestInvalid, match=r"COMMAND = 'echo hi': a command .* such as \{year\}"):
        check_places(["echo", "hi"], [{"year": 1999}])
    check_places(["echo", "hi"], [{"cpu": 256}])
    check_places(["echo", "hi"], [])
    check_places(["echo", "hi"], manifest("s3://bucket/shards.jsonl"))
