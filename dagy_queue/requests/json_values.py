"""Checks that a value is JSON as every reader of it will understand it; used wherever a caller hands us data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from dagy_queue.errors import Problem

_MAX_DEPTH = 64


def json_problems(value: Any, path: str, depth: int = 0) -> Iterator[Problem]:
    """Yield each place in ``value`` that JSON cannot carry unchanged."""
    if depth > _MAX_DEPTH:
        yield Problem(path, "…", f"nest at most {_MAX_DEPTH} levels (is it a cycle?)")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(path, value, "JSON has no NaN or infinity; use null or a string")
    elif value is None or isinstance(value, bool | int | float | str):
        return
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield from json_problems(item, f"{path}.{key}", depth + 1)
            else:
                yield Problem(f"{path} key", key, "JSON object keys are strings")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from json_problems(item, f"{path}[{index}]", depth + 1)
    else:
        kind = type(value).__name__
        yield Problem(path, value, f"{kind} is not JSON; use null, true/false, numbers, strings, lists and objects")
