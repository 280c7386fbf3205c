"""Checks levels: sets of fields that lie under what a launch says, such as a profile or an environment's defaults.

Settings check theirs when they are read, a launcher its own when it is made: not only when the first launch needs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from dagy_queue.errors import Problem
from dagy_queue.requests.models import ContainerRequest, LaunchRequest
from dagy_queue.requests.parsing import FIELDS, nearest, problems_of

_HIDDEN = frozenset({"command", "metadata", "parameters"})
"""Fields whose values are nobody's business here, besides those that are hidden in every problem."""

_TEMPLATE = "task_definition_template"


def level_problems(level: Any, where: str = "") -> list[Problem]:
    """Return what no request could take of a level: a profile, an environment's defaults, a launcher's own."""
    if not isinstance(level, Mapping):
        return [Problem(where, "(hidden)", "fields of a request and their values")]
    return [replace(problem, field=f"{where}.{problem.field}".strip(".")) for problem in _problems(level)]


def _problems(level: Mapping[str, Any]) -> Iterator[Problem]:
    for name in level:
        if name not in FIELDS:
            yield Problem(str(name), "(hidden)", f"no such field{nearest(str(name))}")
    if "profile" in level:
        yield Problem("profile", level["profile"], "nothing: levels do not name one another")
    models: list[type[BaseModel]] = [LaunchRequest, ContainerRequest]
    chosen = [model for model in models if level.get("kind") == model.model_fields["kind"].default] or models
    found = {(p.field, p.allowed): p for model in chosen for p in _wrong_values(level, model)}
    yield from found.values()


def _wrong_values(level: Mapping[str, Any], model: type[BaseModel]) -> Iterator[Problem]:
    values = {name: value for name, value in level.items() if name in model.model_fields and name != "profile"}
    if not isinstance(values.get(_TEMPLATE), Mapping):
        values.pop(_TEMPLATE, None)  # a path is read when a request is built
    try:
        model.model_validate(values)
    except ValidationError as exc:
        # Another level may give what is missing here: a required field, or the other half of a size.
        there = [item for item in problems_of(exc, model) if item.field.partition(".")[0] in _judged(values)]
    else:
        return
    for problem in there:
        hidden = problem.field.partition(".")[0] in _HIDDEN
        yield replace(problem, value="(hidden)") if hidden else problem


def _judged(values: Mapping[str, Any]) -> set[str]:
    """Return the fields that a level can be judged by, and ``size`` if it has both halves of one."""
    given = {name for name, value in values.items() if value is not None}
    return given | {"size"} if {"cpu", "memory"} <= given else given
