"""Where a fan-out's shards come from, besides any iterable of mappings: grids, ranges, files, manifests in S3; pure.

Callers name a source with these helpers. ``producer/shard_files.py`` reads files; of a manifest only its address goes
into the batch, and the dispatcher reads it (``dispatch/manifests.py``).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.rows import RowFormat, format_of

MOST_MADE = 10_000_000
"""Shards that a grid, a range or a ``task_count`` may make: they are all made here, before anything is sent."""

_MOST = f"at most {MOST_MADE:,} shards; a larger batch is a manifest in S3"
_ORDERED = "a list or another iterable with an order, such as range(1999, 2020)"


@dataclass(frozen=True, slots=True)
class FileLines:
    """A local file with a shard in each line."""

    path: str
    form: RowFormat


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object in S3 with a shard in each line. The dispatcher reads it; who fans out does not."""

    uri: str
    form: RowFormat
    most: int | None = None
    """Shards that it may have: the limit of the cluster, as the caller's settings have it."""

    def limited(self, most: int | None) -> Self:
        """Return it with a limit; the lower one counts."""
        known = [limit for limit in (self.most, most) if limit is not None]
        return replace(self, most=min(known, default=None))

    @property
    def bucket(self) -> str:
        """The bucket."""
        return _address(self.uri)[0]

    @property
    def key(self) -> str:
        """The key, as it is: S3 knows no escapes."""
        return _address(self.uri)[1]

    def where(self, line: int) -> str:
        """Name a line of it."""
        return f"{self.uri}[line {line}]"

    def to_json(self) -> str:
        """Return its text in a batch."""
        return json.dumps({"uri": self.uri, "types": dict(self.form.types), "most": self.most})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read it back."""
        values = json.loads(text)
        return cls(values["uri"], format_of(values["uri"], values["types"]), values["most"])


def grid(**axes: Iterable[Any]) -> list[dict[str, Any]]:
    """Return every combination of some named lists: one shard each, the last name changing fastest.

    ``grid(year=range(1999, 2001), region=["eu", "us"])`` is 1999 eu, 1999 us, 2000 eu, 2000 us. Raises RequestInvalid.
    """
    if not axes:
        raise RequestInvalid([Problem("grid", "", "at least one name with its values")], "fan-out")
    if problems := [Problem(f"grid.{name}", values, _ORDERED) for name, values in axes.items() if not _ordered(values)]:
        raise RequestInvalid(problems, "fan-out")
    lists = {name: values if isinstance(values, range) else list(values) for name, values in axes.items()}
    _check_made("grid", lists)
    return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]


def shard_range(name: str, start: int, stop: int, step: int = 1) -> list[dict[str, int]]:
    """Return a shard for each number of a range, as Python counts: ``stop`` is not in it. Raises RequestInvalid."""
    try:
        numbers = range(start, stop, step)
    except (TypeError, ValueError) as exc:
        asked = f"range({start!r}, {stop!r}, {step!r})"
        raise RequestInvalid([Problem(name, asked, f"a range of whole numbers: {exc}")], "fan-out") from None
    _check_made("range", {name: numbers})
    return [{name: number} for number in numbers]


def lines(path: str | os.PathLike[str], *, types: Mapping[str, Any] | None = None) -> FileLines:
    """Return the shards of a local file: JSON lines (.jsonl, .ndjson) or CSV with a header (.csv), also with .gz.

    CSV's values are text; ``types`` names the columns that are not: int, float, bool or ``"json"``. The file is read
    when it is fanned out. Raises RequestInvalid.
    """
    name = os.fspath(path)
    return FileLines(name, format_of(name.replace(os.sep, "/"), types))


def manifest(uri: str, *, types: Mapping[str, Any] | None = None) -> Manifest:
    """Return the shards of an object in S3, ``s3://bucket/key``, of the same formats as :func:`lines`.

    Only its address is sent: the dispatcher reads it, with its own permissions. Raises RequestInvalid.
    """
    if not all(_address(uri)):
        raise RequestInvalid([Problem("manifest", uri, "s3://bucket/key")], "fan-out")
    return Manifest(uri, format_of(uri, types))


def _address(uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://") if isinstance(uri, str) else ("", "", "")
    bucket, _, key = rest.partition("/")
    return (bucket, key) if scheme == "s3" else ("", "")


def _check_made(what: str, lists: Mapping[str, Sequence[Any]]) -> None:
    """Raise RequestInvalid for more shards than are made here."""
    sizes = {name: _length(values) for name, values in lists.items()}
    if math.prod(sizes.values()) > MOST_MADE:
        shown = " x ".join(f"{name}: {size:,}" for name, size in sizes.items())
        raise RequestInvalid([Problem(what, shown, _MOST)], "fan-out")


def _length(values: Sequence[Any]) -> int:
    """Return how many there are, also of a range that ``len`` cannot count."""
    if not isinstance(values, range):
        return len(values)
    return max(0, -((values.start - values.stop) // values.step))


def _ordered(values: Any) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping | set | frozenset)
