"""Texts for people: rows under their names, columns, ages, counts; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

_COLOURS = re.compile(r"\x1b\[[0-9;:]*m|\r(?=\n|\Z)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that a terminal acts upon, or that change the order of those beside them."""
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def visible(text: str) -> str:
    """Return a text that a terminal shows and does not obey: colours are left out, other controls written as escapes.

    What containers write and raise is theirs; printed as it is, it could retitle a terminal or fill its clipboard.
    """
    if text.isprintable():
        return text
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], _COLOURS.sub("", text))


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON that a terminal does not obey either: controls in its texts are escapes of JSON."""
    written = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def aligned(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each name and its text, without those that have nothing to say; further lines are indented."""
    every = list(rows)
    width = max((len(name) for name, _ in every), default=0)
    for name, text in every:
        for number, line in enumerate(text.splitlines()):
            yield f"{'' if number else name:<{width}}  {line}"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table: the head, and the rows below, two spaces between columns."""
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def age(seconds: float) -> str:
    """Return a time in its largest unit: ``12s``, ``3m``, ``5h``, ``2d``."""
    whole = max(0, int(seconds))
    unit, name = next((each for each in _UNITS if whole >= each[0]), _UNITS[-1])
    return f"{whole // unit}{name}"


def age_of(iso_time: str | None, now: datetime) -> str:
    """Return how long ago a time was; '' for none."""
    return age((now - datetime.fromisoformat(iso_time)).total_seconds()) if iso_time else ""


def clock(seconds: float) -> str:
    """Return a time as a clock shows it: ``0:42``, ``12:05``, ``3:00:00``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def took(seconds: float) -> str:
    """Return how long something took: ``0.4 s``, ``12 s``, ``1:05``."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else clock(seconds)


def counted(counts: Mapping[str, int], order: Iterable[str]) -> str:
    """Return counts in words, in the order given: ``3 running, 1 failed``."""
    return ", ".join(f"{counts[name]} {name.lower()}" for name in order if counts.get(name))


def plural(count: int, what: str) -> str:
    """Return a number and what it counts: ``1 shard``, ``2 shards``."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
