"""From a caller's values, or the JSON of a message, to a checked request; every problem is reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.models import ContainerRequest, LaunchRequest, RunRequest

_MODELS: dict[str, type[LaunchRequest] | type[ContainerRequest]] = {
    "flow": LaunchRequest,
    "container": ContainerRequest,
}

_PAIRS = {"memory": "size", "task_definition": "image"}
"""Fields whose validator judges two fields together, and what people call the two."""


def parse_request(values: Mapping[str, Any], model: type[RunRequest] = LaunchRequest) -> RunRequest:
    """Build a request from a caller's values. Raises RequestInvalid listing every problem."""
    try:
        return model(**values)
    except ValidationError as exc:
        raise RequestInvalid(problems_of(exc)) from exc


def read_request(values: Any) -> LaunchRequest | ContainerRequest:
    """Read a request back from its JSON form. Raises RequestInvalid."""
    if not isinstance(values, Mapping):
        raise RequestInvalid([Problem("request", values, "an object with the fields of a request")])
    kind = values.get("kind", "flow")
    if kind not in _MODELS:
        raise RequestInvalid([Problem("kind", kind, f"one of {', '.join(_MODELS)}")])
    try:
        return _MODELS[kind](**values)
    except ValidationError as exc:
        raise RequestInvalid(problems_of(exc)) from exc


def problems_of(error: ValidationError) -> list[Problem]:
    """Return the problems of a failed validation in the form our errors have."""
    return [_problem(item) for item in error.errors(include_url=False)]


def _problem(item: Any) -> Problem:
    path = [str(part) for part in item["loc"]]
    if item["type"] == "missing":
        return Problem(".".join(path), None, "required")
    if item["type"] == "extra_forbidden":
        return Problem(".".join(path), item["input"], "no such field")
    if item["type"] == "allowed" and path[0] in _PAIRS:
        return Problem(_PAIRS[path[0]], item["input"], item["msg"])
    return Problem(".".join(path), item["input"], item["msg"])
