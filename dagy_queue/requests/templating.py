"""``{{ run.<name> }}`` in parameters, commands and variables: filled in when the run is launched; pure.

Only names behind ``run.`` are ours: any other text in double braces is a caller's data and stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dagy_queue.errors import Problem

NAMES = ("id", "org_id", "environment", "correlation_id", "batch_id", "shard", "flow_name", "flow_version")
"""What may stand behind ``run.``; ``shard`` is the number in its batch, counted from 0, and 0 for a single run."""

TEMPLATED = ("parameters", "extra_env_vars", "command", "container_overrides")
"""The fields of a request in which the names are filled in."""

_MAX_DEPTH = 64
_REFERENCE = re.compile(r"\{\{\s*run\.([A-Za-z0-9_.]*)\s*\}\}")


def template_problems(value: Any, path: str, inside: tuple[int, ...] = ()) -> Iterator[Problem]:
    """Yield each reference to a name that there is not. ``inside`` holds the ids of the value's parents."""
    if id(value) in inside or len(inside) > _MAX_DEPTH:
        return  # json_values.py has a word for it
    if isinstance(value, str):
        if "{{" in value:
            for match in _REFERENCE.finditer(value):
                if match[1] not in NAMES:
                    yield Problem(path, match[0], f"run. and one of {', '.join(NAMES)}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from template_problems(item, f"{path}.{key}", (*inside, id(value)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from template_problems(item, f"{path}[{index}]", (*inside, id(value)))


def rendered(
    request: Mapping[str, Any], *, run_id: str, batch_id: str = "", shard: int | None = None
) -> dict[str, Any]:
    """Return the fields of a request with every reference filled in. Nothing is filled in twice."""
    facts = {
        "id": run_id,
        "batch_id": batch_id,
        "shard": str(shard or 0),
        "correlation_id": str(request.get("correlation_id") or run_id),
        "flow_version": str(request.get("flow_version") or "latest"),
        **{name: str(request.get(name) or "") for name in ("org_id", "environment", "flow_name")},
    }
    return {name: _filled(value, facts) if name in TEMPLATED else value for name, value in request.items()}


def _filled(value: Any, facts: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        if "{{" not in value:
            return value
        return _REFERENCE.sub(lambda match: facts.get(match[1], match[0]), value)
    if isinstance(value, Mapping):
        return {key: _filled(item, facts) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, facts) for item in value]
    return value
