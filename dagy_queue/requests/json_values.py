"""Checks that a value is JSON as every reader of it will understand it; used wherever a caller hands us data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from dagy_queue.errors import Problem

MAX_DEPTH = 64
"""Levels of lists and objects that a value may have."""
_MAX_BITS = 4096
"""Python itself reads no number of more than 4,300 digits."""


def json_problems(value: Any, path: str, inside: tuple[int, ...] = ()) -> Iterator[Problem]:
    """Yield each place in ``value`` that JSON cannot carry unchanged. ``inside`` holds the ids of its parents."""
    if isinstance(value, str):
        yield from _text_problems(value, path)
    elif isinstance(value, int | float):
        yield from _number_problems(value, path)
    elif value is None:
        return
    elif not isinstance(value, dict | list | tuple):
        kind = type(value).__name__
        yield Problem(path, value, f"{kind} is not JSON; use null, true/false, numbers, strings, lists and objects")
    elif id(value) in inside:
        yield Problem(path, "…", "a value must not contain itself")
    elif len(inside) >= MAX_DEPTH:
        yield Problem(path, "…", f"nest at most {MAX_DEPTH} levels")
    elif isinstance(value, dict):
        yield from _object_problems(value, path, (*inside, id(value)))
    else:
        for index, item in enumerate(value):
            yield from json_problems(item, f"{path}[{index}]", (*inside, id(value)))


def _number_problems(value: float, path: str) -> Iterator[Problem]:
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            yield Problem(path, "...", f"a whole number of at most {_MAX_BITS} bits; use a string")
    elif not math.isfinite(value):
        yield Problem(path, value, "JSON has no NaN or infinity; use null or a string")


def _object_problems(value: dict[Any, Any], path: str, inside: tuple[int, ...]) -> Iterator[Problem]:
    for key, item in value.items():
        if isinstance(key, str):
            yield from _text_problems(key, f"{path} key")
            yield from json_problems(item, f"{path}.{key}", inside)
        else:
            yield Problem(f"{path} key", key, "JSON object keys are strings")


def _text_problems(text: str, path: str) -> Iterator[Problem]:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        yield Problem(path, text, "UTF-8 cannot carry half a surrogate pair")
