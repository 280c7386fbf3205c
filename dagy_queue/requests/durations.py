"""Durations as people write them, ``"2h15m30s"``, wherever a time is asked: in requests and in settings."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

_SECONDS_OF = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = r"(?:\d+(?:\.\d+)?{unit})?"
_DURATION = re.compile("".join(_PART.format(unit=unit) for unit in ("d", "h", "m(?!s)", "s", "ms")))
_NUMBER_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])")
RULE = "a number of seconds, or a duration such as '30s', '45m', '2h15m30s' or '1d'"


def parse_duration(text: str) -> float:
    """Return the seconds of a duration: units d, h, m, s and ms, the larger first. Raises ValueError."""
    compact = text.strip().lower()
    if not compact or not _DURATION.fullmatch(compact):
        raise ValueError(f"{text!r} is not {RULE}")
    return sum(float(number) * _SECONDS_OF[unit] for number, unit in _NUMBER_AND_UNIT.findall(compact))


def _read(value: Any) -> Any:
    if isinstance(value, bool):  # which pydantic takes for 1 or 0
        raise PydanticCustomError("allowed", "{allowed}", {"allowed": RULE})
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return parse_duration(value)
    except ValueError:
        raise PydanticCustomError("allowed", "{allowed}", {"allowed": RULE}) from None


def _read_whole(value: Any) -> Any:
    found = _read(value)
    return int(found) if isinstance(found, float) and found.is_integer() else found


Seconds = Annotated[float, BeforeValidator(_read), Field(allow_inf_nan=False)]
"""A field in seconds that takes durations as well."""

WholeSeconds = Annotated[int, BeforeValidator(_read_whole)]
"""The same for whole seconds."""
