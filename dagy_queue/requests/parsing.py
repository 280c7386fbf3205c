"""From a caller's values, or the JSON of a message, to a checked request; every problem is reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.models import ContainerRequest, LaunchRequest, RunRequest
from dagy_queue.requests.templating import TEMPLATED, template_problems
from dagy_queue.requests.wording import words

_MODELS: dict[str, type[LaunchRequest] | type[ContainerRequest]] = {
    "flow": LaunchRequest,
    "container": ContainerRequest,
}

_CONTAINER_FIELDS = frozenset({"image", "command", "task_definition", "task_definition_template"})
"""Fields that make a request without a flow one for a container."""

_Request = TypeVar("_Request", bound=RunRequest)

FIELDS = LaunchRequest.model_fields.keys() | ContainerRequest.model_fields.keys()
"""The fields that a request may have, whatever its kind."""

_SHOWN_LEVELS = 4

_HIDDEN = frozenset({"secrets_env", "extra_env_vars"})
"""Fields whose values may be secrets, above all where they are wrong."""

_HIDDEN_INSIDE = _HIDDEN | {"environment", "secrets"}
"""Parts of overrides and task definitions of which the same is true."""

_ELSEWHERE = {
    "cluster_arn": "the field is cluster",
    "env": "the field is extra_env_vars",
    "env_vars": "the field is extra_env_vars",
    "environment_variables": "the field is extra_env_vars",
    "fail_fast": "it is a policy of fan_out",
    "max_fail_count": "the field is max_retries; fan_out takes max_fail_count as well",
    "max_parallel": "it is a policy of fan_out",
    "polling_interval": "events end runs, nothing polls",
    "retries": "the field is max_retries",
    "retry_exponential_backoff": "waits always double; retry_delay is the longest first one",
    "task_count": "it is an argument of fan_out",
    "tolerate": "it is a policy of fan_out",
}
"""Names that people know from elsewhere, and what they are here."""

_DOCUMENTS = frozenset({"container_overrides", "run_task_kwargs", "task_definition_template"})
"""Fields that hold documents: anything in the wrong place there may be a variable's value."""

_HARMLESS = frozenset({"name", "command", "cpu", "memory", "memory_reservation", "memoryReservation"})

_SECRETIVE = re.compile("secret|passw|token|key|credential|auth|env", re.IGNORECASE)
"""Names of fields that do not exist, behind which a secret may stand: often only the name is misspelt."""


def model_of(values: Mapping[str, Any]) -> type[LaunchRequest] | type[ContainerRequest]:
    """Return the model that a caller's values mean: a flow's, unless they name a container and no flow."""
    kind = values.get("kind")
    if kind is not None:
        if not isinstance(kind, str) or kind not in _MODELS:
            raise RequestInvalid([Problem("kind", kind, f"one of {', '.join(_MODELS)}")])
        return _MODELS[kind]
    is_container = "flow_name" not in values and bool(values.keys() & _CONTAINER_FIELDS)
    return ContainerRequest if is_container else LaunchRequest


def parse_request(values: Mapping[str, Any], model: type[RunRequest] = LaunchRequest) -> RunRequest:
    """Build a request from a caller's values. Raises RequestInvalid listing every problem."""
    problems = [p for name in TEMPLATED if name in values for p in template_problems(values[name], name)]
    return _validated(model, values, problems)


def read_request(values: Any) -> LaunchRequest | ContainerRequest:
    """Read a request back from its JSON form. Raises RequestInvalid.

    Templates are not judged here: a result handed on by another task may have braces of its own.
    """
    if not isinstance(values, Mapping):
        raise RequestInvalid([Problem("request", values, "an object with the fields of a request")])
    model: Any = model_of({"kind": "flow", **values})
    return cast("LaunchRequest | ContainerRequest", _validated(model, values))


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return the problems of a model's failed validation in the form our errors have."""
    return [_problem(item, model) for item in error.errors(include_url=False)]


def nearest(name: str) -> str:
    """Return a hint at what a name may mean that is no field of its request; '' if nothing is near."""
    if name in _ELSEWHERE:
        return f"; {_ELSEWHERE[name]}"
    if name in FIELDS:
        kind = "a container" if name in ContainerRequest.model_fields else "a flow"
        return f" of this kind of run: {name} is {kind}'s, flow_name makes a run a flow's"
    found = get_close_matches(name, FIELDS, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _validated(model: type[_Request], values: Mapping[str, Any], problems: Sequence[Problem] = ()) -> _Request:
    try:
        request = model.model_validate(dict(values))
    except ValidationError as exc:
        problems = [*problems_of(exc, model), *problems]
    else:
        if not problems:
            return request
    # Raised out here, so that it has no context: pydantic's error has the values, and some are secrets.
    raise RequestInvalid(problems)


def _problem(item: Any, model: type[BaseModel]) -> Problem:
    path = [str(part) for part in item["loc"]] or ["request"]
    name, value = ".".join(path), item["input"]
    if item["type"] == "missing":
        return Problem(name, None, "required")
    if item["type"] == "extra_forbidden":
        hint = nearest(path[0]) if len(path) == 1 else ""
        hidden = len(path) > 1 or _SECRETIVE.search(name)
        return Problem(name, "(hidden)" if hidden else _shown(value), f"no such field{hint}")
    in_document = path[0] in _DOCUMENTS and not (isinstance(value, int | float) or path[-1] in _HARMLESS)
    if path[0] in _HIDDEN or _HIDDEN_INSIDE & set(path[1:]) or in_document:
        value = "(hidden)"
    if item["type"] == "size":
        return Problem(item["ctx"]["field"], item["ctx"]["size"], item["msg"])
    allowed = words(item, model.model_fields.get(path[0]) if len(path) == 1 else None)
    return Problem(name, "..." if path == ["request"] else _shown(value), allowed)


def _shown(value: Any, depth: int = 0) -> Any:
    """Return a value without what may be a secret in it."""
    if depth > _SHOWN_LEVELS:
        return "..."
    if isinstance(value, Mapping):
        return {k: "(hidden)" if k in _HIDDEN_INSIDE else _shown(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item, depth + 1) for item in value]
    return _shown(value.model_dump()) if isinstance(value, BaseModel) else value
