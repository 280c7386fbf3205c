"""What differs from shard to shard, checked and written as a batch keeps it: chunks of JSON; pure.

A flow's row is its parameters, a container's row the fields that differ. ``fan_out`` checks what it publishes with it,
the dispatcher what it reads from a manifest. The common case is quick: a chunk is written once, and only one that
cannot be read back as it was (of a container: one that ``quick_checks.py`` does not pass) is looked at row by row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.json_values import MAX_DEPTH, json_problems
from dagy_queue.requests.models import LaunchRequest, RunRequest
from dagy_queue.requests.overlay import overlay
from dagy_queue.requests.parsing import parse_request
from dagy_queue.requests.quick_checks import QuickCheck
from dagy_queue.requests.rows import MAX_PROBLEMS, Where
from dagy_queue.requests.shards import shared_fields
from dagy_queue.requests.templating import template_problems

SPEC_CHUNK = 500
"""Shards kept together in one element of a batch's spec."""

encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode
"""Writes a value as a batch keeps it."""


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """The shards of a batch: their deltas as JSON lists of ``SPEC_CHUNK``, and how many there are."""

    chunks: tuple[str, ...]
    total: int

    @classmethod
    def of(cls, deltas: Sequence[Mapping[str, Any]]) -> Self:
        """Write deltas that are known to be right."""
        starts = range(0, len(deltas), SPEC_CHUNK)
        return cls(tuple(encode(list(deltas[start : start + SPEC_CHUNK])) for start in starts), len(deltas))


def spec_of(
    request: RunRequest, rows: Iterable[tuple[int, Any]], where: Where, problems: list[Problem] | None = None
) -> ShardSpec:
    """Return the shards of numbered rows. ``problems`` are those of reading them. Raises RequestInvalid with all."""
    found = [] if problems is None else problems
    chunks = list(checked_chunks(request, rows, where, found))
    if found:
        raise RequestInvalid(found[:MAX_PROBLEMS], "fan-out", more=len(found) > MAX_PROBLEMS)
    return ShardSpec(tuple(text for text, _ in chunks), sum(count for _, count in chunks))


def checked_chunks(
    request: RunRequest, rows: Iterable[tuple[int, Any]], where: Where, problems: list[Problem]
) -> Iterator[tuple[str, int]]:
    """Yield the JSON and the number of shards of each chunk; what is wrong goes to ``problems``, until they suffice."""
    check = _parameters_of if isinstance(request, LaunchRequest) else _Fields(request).of
    remaining = iter(rows)
    while len(problems) < MAX_PROBLEMS and (part := list(islice(remaining, SPEC_CHUNK))):
        yield check(part, where, problems), len(part)


def delta_of(request: RunRequest, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row makes differ."""
    if isinstance(request, LaunchRequest):
        return {"parameters": dict(row)} if row else {}
    return dict(row)


def _parameters_of(part: Sequence[tuple[int, Any]], where: Where, problems: list[Problem]) -> str:
    plain = all(type(row) is dict for _, row in part)
    text = _plain([{"parameters": row} if row else {} for _, row in part]) if plain else ""
    if text and "{{" not in text:
        return text
    found = [problem for number, row in part for problem in _parameter_problems(row, where(number))]
    problems += found
    return text if text or found else encode([{"parameters": dict(row)} if row else {} for _, row in part])


def _parameter_problems(row: Any, path: str) -> Iterator[Problem]:
    if isinstance(row, Mapping):
        yield from json_problems(dict(row), path)
        yield from template_problems(row, path)
    else:
        yield Problem(path, row, "a dict of what differs")


def _plain(deltas: list[Any]) -> str:
    """Return JSON of which every reader gets these values back; '' if that has to be looked at more closely."""
    text = _written(deltas)
    try:
        back = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if back != deltas:
        return ""
    deep = text.count("{") + text.count("[") > len(deltas) + sum(map(bool, deltas)) + MAX_DEPTH
    return "" if deep and _too_deep(back, MAX_DEPTH + 2) else text


def _written(deltas: list[Any]) -> str:
    """Return JSON that UTF-8 can carry; '' if there is none of these values."""
    try:
        text = encode(deltas)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        return ""
    return text


def _too_deep(value: Any, levels: int) -> bool:
    if not levels:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_too_deep(item, levels - 1) for item in inner if isinstance(item, dict | list))


class _Fields:
    """Checks the fields in which the shards of a container differ: each shard must be a request that can be run."""

    def __init__(self, request: RunRequest) -> None:
        self._model = type(request)
        self._base = request.model_dump(exclude_unset=True)
        self._quick = QuickCheck(self._model, self._base)

    def of(self, part: Sequence[tuple[int, Any]], where: Where, problems: list[Problem]) -> str:
        rows = [row for _, row in part]
        if (text := _written(rows)) and self._quick.passes(rows, text):
            return text
        found = [problem for number, row in part for problem in self._problems(row, where(number))]
        if not found:
            try:
                return encode([dict(row) for _, row in part])
            except (TypeError, ValueError, RecursionError):
                found = [p for number, row in part for p in json_problems(dict(row), where(number))]
        problems += found
        return ""

    def _problems(self, row: Any, path: str) -> list[Problem]:
        if not isinstance(row, Mapping):
            return [Problem(path, row, "a dict of what differs")]
        if not row:
            return []
        if shared := list(shared_fields(row)):
            return [
                Problem(f"{path}.{n}", value, "the same for all shards: a field of the request") for n, value in shared
            ]
        try:
            parse_request(overlay(self._base, row), self._model)
        except RequestInvalid as exc:
            return [Problem(f"{path}.{p.field}", p.value, p.allowed) for p in exc.problems]
        return []
