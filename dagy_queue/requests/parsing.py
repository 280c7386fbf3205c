"""From a caller's values, or the JSON of a message, to a checked request; every problem is reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.models import ContainerRequest, LaunchRequest, RunRequest
from dagy_queue.requests.templating import TEMPLATED, template_problems

_MODELS: dict[str, type[LaunchRequest] | type[ContainerRequest]] = {
    "flow": LaunchRequest,
    "container": ContainerRequest,
}

_CONTAINER_FIELDS = frozenset({"image", "command", "task_definition", "task_definition_template"})
"""Fields that make a request without a flow one for a container."""

_JUDGED_TOGETHER = {"memory": "size"}
"""Fields whose validator judges two fields, and what people call the two."""

_HIDDEN = frozenset({"secrets_env", "extra_env_vars"})
"""Fields whose values may be secrets, above all where they are wrong."""


def model_of(values: Mapping[str, Any]) -> type[LaunchRequest] | type[ContainerRequest]:
    """Return the model that a caller's values mean: a flow's, unless they name a container and no flow."""
    kind = values.get("kind")
    if kind is not None:
        if kind not in _MODELS:
            raise RequestInvalid([Problem("kind", kind, f"one of {', '.join(_MODELS)}")])
        return _MODELS[kind]
    is_container = "flow_name" not in values and bool(values.keys() & _CONTAINER_FIELDS)
    return ContainerRequest if is_container else LaunchRequest


def parse_request(values: Mapping[str, Any], model: type[RunRequest] = LaunchRequest) -> RunRequest:
    """Build a request from a caller's values. Raises RequestInvalid listing every problem."""
    problems = [p for name in TEMPLATED if name in values for p in template_problems(values[name], name)]
    try:
        request = model(**values)
    except ValidationError as exc:
        # "from None": the original repeats values, and some are secrets.
        raise RequestInvalid([*problems_of(exc), *problems]) from None
    if problems:
        raise RequestInvalid(problems)
    return request


def read_request(values: Any) -> LaunchRequest | ContainerRequest:
    """Read a request back from its JSON form. Raises RequestInvalid.

    Templates are not judged here: a result handed on by another task may have braces of its own.
    """
    if not isinstance(values, Mapping):
        raise RequestInvalid([Problem("request", values, "an object with the fields of a request")])
    try:
        return model_of({"kind": "flow", **values})(**values)
    except ValidationError as exc:
        raise RequestInvalid(problems_of(exc)) from None


def problems_of(error: ValidationError) -> list[Problem]:
    """Return the problems of a failed validation in the form our errors have."""
    return [_problem(item) for item in error.errors(include_url=False)]


def _problem(item: Any) -> Problem:
    path = [str(part) for part in item["loc"]] or ["request"]
    name, value = ".".join(path), item["input"]
    if item["type"] == "missing":
        return Problem(name, None, "required")
    if item["type"] == "extra_forbidden":
        return Problem(name, value, "no such field")
    if path[0] in _HIDDEN:
        value = "(hidden)"
    if item["type"] == "allowed":
        name = _JUDGED_TOGETHER.get(path[0], name) if len(path) == 1 else name
        value = "..." if path == ["request"] else value
    return Problem(name, value, item["msg"])
