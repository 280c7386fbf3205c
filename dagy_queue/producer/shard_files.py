"""Reads the shards that a fan-out was given: any iterable of mappings, or a local file named with ``lines``.

``fan_out`` calls :func:`spec_from`; what a manifest in S3 holds is read by the dispatcher.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests import RunRequest
from dagy_queue.requests.deltas import ShardSpec, spec_of
from dagy_queue.requests.rows import read_rows
from dagy_queue.requests.sources import FileLines

_ALLOWED = "an iterable of dicts, grid(...), shard_range(...), lines(path) or manifest('s3://...')"


def spec_from(request: RunRequest, shards: Any) -> ShardSpec:
    """Return the checked shards of a source. Raises RequestInvalid with what is wrong and where."""
    if isinstance(shards, FileLines):
        return _spec_from_file(request, shards)
    if isinstance(shards, str | bytes | Path | Mapping) or not isinstance(shards, Iterable):
        raise RequestInvalid([Problem("shards", shards, _ALLOWED)], "fan-out")
    return spec_of(request, enumerate(shards), "shards[{}]".format)


def _spec_from_file(request: RunRequest, file: FileLines) -> ShardSpec:
    def where(line: int) -> str:
        return f"{file.path}[line {line}]"

    problems: list[Problem] = []
    try:
        with Path(file.path).open("rb") as stream:
            return spec_of(request, read_rows(stream, file.form, where, problems), where, problems)
    except OSError as exc:
        raise RequestInvalid([Problem("shards", file.path, f"a file that can be read: {exc.strerror}")]) from None
