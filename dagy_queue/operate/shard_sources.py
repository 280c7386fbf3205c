"""The shards of ``dagy-queue fan-out``: grids and ranges, a file, standard input, or a manifest in S3."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.operate.request_fields import pairs, value_of
from dagy_queue.requests import ContainerRequest
from dagy_queue.requests.rows import RowFormat, format_of, read_rows
from dagy_queue.requests.sources import FileLines, Manifest, grid, lines, manifest

_RANGE = re.compile(r"(-?\d+):(-?\d+)(?::(-?\d+))?")
_RANGE_RULE = "name=START:STOP or name=START:STOP:STEP, as Python counts: STOP is not in it"
_BLANK = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

Source = list[dict[str, Any]] | FileLines | Manifest


def source_of(
    *,
    grids: Sequence[str],
    ranges: Sequence[str],
    file: str,
    manifest_uri: str,
    types: Iterable[str],
    form: str,
) -> Source | None:
    """Return the shards that were asked for; None if nothing says which.

    Raises RequestInvalid for words that cannot be read, and for several sources at once.
    """
    axes = axes_of(grids, ranges)
    typed = {"grid": " ".join(grids), "range": " ".join(ranges), "file": file, "manifest": manifest_uri}
    given = [name for name, text in typed.items() if text]
    if len(given) > 1 and not {"grid", "range"} >= set(given):
        allowed = f"one source of shards; there is {given[0]} = {typed[given[0]]!r} as well"
        raise RequestInvalid([Problem(given[-1], typed[given[-1]], allowed)], "fan-out")
    columns = pairs("type", types)
    if manifest_uri:
        return manifest(manifest_uri, types=columns)
    if file == "-":
        return rows_of(sys.stdin.buffer, format_of(f"stdin.{form}", columns))
    if file:
        return lines(file, types=columns)
    return grid(**axes) if axes else None


def axes_of(grids: Iterable[str], ranges: Iterable[str]) -> dict[str, Sequence[Any]]:
    """Return the names of a grid and the values of each: ``year=2023,2024`` or ``year=1999:2020``."""
    axes: dict[str, Sequence[Any]] = {}
    for name, text in pairs("grid", grids).items():
        axes[name] = [value_of(word) for word in text.split(",")]
    for name, text in pairs("range", ranges).items():
        match = _RANGE.fullmatch(text)
        step = int(match[3] or 1) if match else 0
        if match is None or not step:
            raise RequestInvalid([Problem("range", f"{name}={text}", _RANGE_RULE)], "fan-out")
        axes[name] = range(int(match[1]), int(match[2]), step)
    return axes


def rows_of(stream: BinaryIO, form: RowFormat) -> list[dict[str, Any]]:
    """Return the shards in a stream. Raises RequestInvalid naming every line that is wrong."""
    problems: list[Problem] = []
    buffered = cast("io.BufferedReader", stream)
    rows = [row for _, row in read_rows(buffered, form, "stdin[line {}]".format, problems)]
    if problems:
        raise RequestInvalid(problems, "fan-out")
    return rows


def into_command(command: Sequence[str], source: Source) -> list[dict[str, Any]]:
    """Return a container's shards: its command with each row's values in place of ``{name}``.

    Raises RequestInvalid for a row whose names are not those in the command, and for a manifest: only dispatchers read
    it.
    """
    if isinstance(source, Manifest):
        allowed = "rows that are read here, where the command has {name} in it; give the manifest's rows a command each"
        raise RequestInvalid([Problem("manifest", source.uri, allowed)], "fan-out")
    names = {name for word in command for name in _BLANK.findall(word)}
    rows = _read(source) if isinstance(source, FileLines) else source
    return [{"command": _filled(command, names, row, number)} for number, row in enumerate(rows)]


def check_places(command: Sequence[str], source: Source) -> None:
    """Refuse rows for a container whose command has no place for them, unless their names are fields of a request.

    Raises RequestInvalid. Of rows that are not read here nothing is said.
    """
    names = list(source[0]) if isinstance(source, list) and source else []
    astray = [name for name in names if name not in ContainerRequest.model_fields]
    if astray:
        places = " ".join(f"{{{name}}}" for name in astray)
        allowed = f"a command behind -- with a place for the values of each shard, such as {places}"
        raise RequestInvalid([Problem("COMMAND", " ".join(command), allowed)], "fan-out")


def _read(file: FileLines) -> list[dict[str, Any]]:
    try:
        with Path(file.path).open("rb") as stream:
            return rows_of(stream, file.form)
    except OSError as exc:
        raise RequestInvalid([Problem("file", file.path, f"a file that can be read: {exc.strerror}")]) from None


def _filled(command: Sequence[str], names: set[str], row: Mapping[str, Any], number: int) -> list[str]:
    if row.keys() != names:
        allowed = f"the names that the command has in braces, {', '.join(sorted(names))}, and no others"
        raise RequestInvalid([Problem(f"shards[{number}]", dict(row), allowed)], "fan-out")
    return [_BLANK.sub(lambda match: str(row[match[1]]), word) for word in command]


def has_blanks(command: Sequence[str]) -> bool:
    """Tell whether a command has places for values, ``{name}``."""
    return any(_BLANK.search(word) for word in command)
