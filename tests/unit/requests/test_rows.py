from __future__ import annotations

import csv
import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.rows import MAX_LINE, MAX_PROBLEMS, format_of, read_rows
from tests.unit.strategies import json_objects, text, unhurried

cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
headers = st.lists(cells.filter(lambda name: name.strip() != ""), min_size=2, max_size=4, unique=True)


def rows_of(content: bytes, name: str, **types: Any) -> tuple[list[tuple[int, dict[str, Any]]], list[Problem]]:
    problems: list[Problem] = []
    stream = io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]
    rows = list(read_rows(stream, format_of(name, types), "f[{}]".format, problems))
    return rows, problems


def values_of(content: bytes, name: str, **types: Any) -> list[dict[str, Any]]:
    rows, problems = rows_of(content, name, **types)
    assert problems == []
    return [values for _, values in rows]


def wrong(content: bytes, name: str, **types: Any) -> list[str]:
    return [str(problem) for problem in rows_of(content, name, **types)[1]]


@unhurried
@given(st.lists(json_objects), st.sampled_from(["\n", "\r\n", "\n\n", "\n  \n"]), st.booleans(), st.booleans())
def test_json_lines_are_read_as_they_were_written(
    rows: list[dict[str, Any]], end: str, is_zipped: bool, has_mark: bool
) -> None:
    content = "".join(json.dumps(row) + end for row in rows).encode("utf-8-sig" if has_mark else "utf-8")
    assert values_of(gzip.compress(content) if is_zipped else content, "shards.jsonl") == rows


@unhurried
@given(st.data(), headers, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_csv_is_read_as_it_was_written(data: st.DataObject, header: list[str], end: str, has_mark: bool) -> None:
    rows = data.draw(st.lists(st.lists(cells, min_size=len(header), max_size=len(header))))
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    content = written.getvalue().encode("utf-8-sig" if has_mark else "utf-8")
    assert values_of(content, "shards.csv") == [dict(zip(header, row, strict=True)) for row in rows]


def test_a_row_has_the_number_of_the_line_where_it_begins() -> None:
    assert [number for number, _ in rows_of(b'\na,b\n"1\n2",3\n\n4,5\n', "f.csv")[0]] == [3, 6]
    assert [number for number, _ in rows_of(b'\n{}\n\n{"a": 1}', "f.jsonl")[0]] == [2, 4]


def test_columns_have_the_types_that_are_named() -> None:
    content = b'n,x,yes,files,title\n7,1.5,TRUE,"[1, null]",7\n,,0,,\n'
    types = {"n": int, "x": float, "yes": bool, "files": "json", "title": str}
    assert values_of(content, "f.csv", **types) == [
        {"n": 7, "x": 1.5, "yes": True, "files": [1, None], "title": "7"},
        {"n": None, "x": None, "yes": False, "files": None, "title": ""},
    ]


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("x", "int"),
        ("1.5", "int"),
        ("1_000", "int"),
        ("nan", "float"),
        ("inf", "float"),
        ("yes", "bool"),
        ("{", "json"),
    ],
)
def test_a_cell_of_another_type_is_named(cell: str, kind: str) -> None:
    assert wrong(f"a,b\nx,{cell}\n".encode(), "f.csv", b=kind) == [f"f[2].b = '{cell}': a cell of the type {kind}"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": }', "Expecting value (column 7)"),
        (b"[1]", "a JSON object"),
        (b"null", "a JSON object"),
        (b'{"a": NaN}', "JSON has no NaN"),
        (b'{"a": -Infinity}', "JSON has no -Infinity"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": ' + b"[" * 100_000, "a JSON object"),
        (b'{"a": ' + b"1" * 5_000 + b"}", "a JSON object"),
    ],
)
def test_a_line_that_is_no_json_object_is_named_and_the_others_are_read(line: bytes, said: str) -> None:
    rows, problems = rows_of(b"{}\n" + line + b"\n{}\nwrong\n", "f.jsonl")
    assert [number for number, _ in rows if number != 2] == [1, 3]
    assert [problem.field for problem in problems] == ["f[2]", "f[4]"]
    assert said in str(problems[0])


@pytest.mark.parametrize(
    ("content", "field", "said"),
    [
        (b"a,a\n1,2\n", "f[1]", "every name is there once"),
        (b"a,\n1,2\n", "f[1]", "a name for every column"),
        (b"a,b\n1\n", "f[2]", "2 cells as in the header; there are 1"),
        (b"a,b\n1,2,3\n", "f[2]", "there are 3"),
        (b'a,b\n1,"2\n', "f[2]", "CSV: unexpected end of data"),
        (b'a,b\n1,"2"x\n', "f[2]", "CSV: "),
        (b"a,b\n\xff,2\n", "f[2]", "UTF-8"),
    ],
)
def test_csv_that_is_wrong_is_named(content: bytes, field: str, said: str) -> None:
    (problem,) = rows_of(content, "f.csv")[1]
    assert problem.field == field
    assert said in str(problem)


def test_a_typed_column_must_be_there() -> None:
    assert "the columns that types names: year" in wrong(b"a\n1\n", "f.csv", year=int)[0]


def test_problems_are_told_up_to_a_number() -> None:
    assert len(wrong(b"x\n" * 1000, "f.jsonl")) == MAX_PROBLEMS
    assert len(wrong(b"a,b\n" + b"x\n" * 1000, "f.csv")) == MAX_PROBLEMS


def test_a_line_without_an_end_is_not_read_into_memory() -> None:
    assert f"{MAX_LINE:,} bytes" in wrong(b"{}\n" + b" " * (MAX_LINE + 2), "f.jsonl")[0]


def test_a_gzip_file_that_is_cut_off_is_named() -> None:
    whole = gzip.compress(b"".join(b'{"n": %d}\n' % n for n in range(5000)))
    for content in (whole[: len(whole) // 2], whole[:-2] + b"xx"):
        assert "a gzip file that is whole" in wrong(content, "f.jsonl.gz")[-1]


@pytest.mark.parametrize(
    ("name", "kind"), [("a/b.jsonl", "jsonl"), ("b.NDJSON.gz", "jsonl"), ("x.csv", "csv"), ("x.2024.csv.gz", "csv")]
)
def test_the_name_says_the_format(name: str, kind: str) -> None:
    assert format_of(name).kind == kind


@given(text.filter(lambda name: not name.lower().removesuffix(".gz").endswith((".csv", ".jsonl", ".ndjson"))))
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(RequestInvalid, match="a name that ends in"):
        format_of(name)


def test_types_are_for_csv_and_are_known() -> None:
    with pytest.raises(RequestInvalid, match="only CSV"):
        format_of("f.jsonl", {"a": int})
    with pytest.raises(RequestInvalid, match=r"types.a = .list.: one of str, int, float, bool, json"):
        format_of("f.csv", {"a": list})
