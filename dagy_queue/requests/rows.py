"""Rows of shards in a stream of bytes: JSON lines or CSV, plain or gzipped, read one at a time; pure.

The producer reads local files with it, the dispatcher's expansion reads manifests in S3. What is wrong is noted with
the line it is in, and reading goes on, so that all of it is told at once (the first ``MAX_PROBLEMS``).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from dagy_queue.errors import Problem, RequestInvalid

MAX_PROBLEMS = 20
"""Problems after which reading stops."""

MAX_LINE = 1024 * 1024
"""Bytes of the longest line: memory stays flat whatever a file holds."""

TypeName = Literal["str", "int", "float", "bool", "json"]
Where = Callable[[int], str]
"""Names a row by its number, for people."""

_GZIP = b"\x1f\x8b"
_KINDS: dict[str, Literal["jsonl", "csv"]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class RowFormat:
    """How rows are written."""

    kind: Literal["jsonl", "csv"]
    types: Mapping[str, TypeName] = field(default_factory=dict)
    """Types of CSV columns that are not text."""


def format_of(name: str, types: Mapping[str, Any] | None = None) -> RowFormat:
    """Return the format of a file or object by its name. Raises RequestInvalid."""
    path = PurePosixPath(name)
    suffix = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()
    if suffix not in _KINDS:
        raise RequestInvalid([Problem("shards", name, "a name that ends in .jsonl, .ndjson or .csv, or .gz after it")])
    named = {column: getattr(kind, "__name__", kind) for column, kind in (types or {}).items()}
    if named and _KINDS[suffix] != "csv":
        raise RequestInvalid([Problem("types", named, "only CSV needs types; JSON has its own")])
    if wrong := {column: kind for column, kind in named.items() if kind not in _READERS}:
        raise RequestInvalid([Problem(f"types.{c}", k, f"one of {', '.join(_READERS)}") for c, k in wrong.items()])
    return RowFormat(_KINDS[suffix], named)


def read_rows(
    stream: io.BufferedReader, form: RowFormat, where: Where, problems: list[Problem]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of the line and the values of every row; blank lines are no rows."""
    lines = _lines(stream, where, problems)
    return _json_rows(lines, where, problems) if form.kind == "jsonl" else _csv_rows(lines, form, where, problems)


def _lines(stream: io.BufferedReader, where: Where, problems: list[Problem]) -> Iterator[tuple[int, str]]:
    source: Any = gzip.GzipFile(fileobj=stream) if stream.peek(2)[:2] == _GZIP else stream
    number = 0
    while len(problems) < MAX_PROBLEMS:
        number += 1
        try:
            line = source.readline(MAX_LINE + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            problems.append(Problem(where(number), "...", f"a gzip file that is whole: {exc}"))
            return
        if not line:
            return
        if len(line) > MAX_LINE:
            problems.append(Problem(where(number), "...", f"a line of at most {MAX_LINE:,} bytes"))
            return
        try:
            text = line.decode()
        except UnicodeDecodeError as exc:
            problems.append(Problem(where(number), line[:80], f"UTF-8: {exc.reason} (byte {exc.start + 1})"))
            text = line.decode(errors="replace")
        yield number, text.removeprefix("\ufeff") if number == 1 else text


def _json_rows(
    lines: Iterator[tuple[int, str]], where: Where, problems: list[Problem]
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in lines:
        if text.isspace() or not text:
            continue
        try:
            row = _DECODER.decode(text)
        except json.JSONDecodeError as exc:
            problems.append(Problem(where(number), text.strip(), f"a JSON object: {exc.msg} (column {exc.colno})"))
        except (ValueError, RecursionError) as exc:
            problems.append(Problem(where(number), text.strip(), f"a JSON object: {exc}"))
        else:
            if isinstance(row, dict):
                yield number, row
            else:
                problems.append(Problem(where(number), text.strip(), "a JSON object"))


def _csv_rows(
    lines: Iterator[tuple[int, str]], form: RowFormat, where: Where, problems: list[Problem]
) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader((text for _, text in lines), strict=True)
    header: list[str] = []
    for number, cells in _records(reader, where, problems):
        if header:
            row = _csv_row(header, cells, form, where(number), problems)
            if row is not None:
                yield number, row
            continue
        header = cells
        if wrong := _header_problem(header, form):
            problems.append(Problem(where(number), ",".join(header), wrong))
            return


def _records(reader: Any, where: Where, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line of each record and its cells, without blank lines."""
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            problems.append(Problem(where(number), "...", f"CSV: {exc}"))
        else:
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield number, cells


def _header_problem(header: list[str], form: RowFormat) -> str:
    if not all(name.strip() for name in header):
        return "a header with a name for every column"
    if len(set(header)) < len(header):
        return "a header in which every name is there once"
    if missing := sorted(form.types.keys() - set(header)):
        return f"a header with the columns that types names: {', '.join(missing)}"
    return ""


def _csv_row(
    header: list[str], cells: list[str], form: RowFormat, name: str, problems: list[Problem]
) -> dict[str, Any] | None:
    if len(cells) != len(header):
        problems.append(Problem(name, ",".join(cells), f"{len(header)} cells as in the header; there are {len(cells)}"))
        return None
    row: dict[str, Any] = dict(zip(header, cells, strict=True))
    before = len(problems)
    for column, kind in form.types.items():
        try:
            row[column] = _typed(row[column], kind)
        except (ValueError, RecursionError):
            problems.append(Problem(f"{name}.{column}", row[column], f"a cell of the type {kind}"))
    return row if len(problems) == before else None


def _typed(cell: str, kind: TypeName) -> Any:
    """Read a cell; an empty one that is not text is null."""
    return None if kind != "str" and not cell.strip() else _READERS[kind](cell)


def _int(cell: str) -> int:
    if "_" in cell:
        raise ValueError(cell)
    return int(cell)


def _float(cell: str) -> float:
    value = float(cell)
    if "_" in cell or not math.isfinite(value):
        raise ValueError(cell)
    return value


def _bool(cell: str) -> bool:
    if (value := _BOOLEANS.get(cell.strip().lower())) is None:
        raise ValueError(cell)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}; use null or a string")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_READERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "json": _DECODER.decode,
}
