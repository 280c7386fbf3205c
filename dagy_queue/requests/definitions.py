"""Task definition templates: complete task definitions in ECS's JSON form, as files or values; pure but for reading.

The request models check them; ``launching/definitions.py`` makes what is registered from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.api_shapes import shape_problems
from dagy_queue.requests.environment import is_reserved
from dagy_queue.requests.refusals import allowed
from dagy_queue.requests.sizes import MAX_EPHEMERAL_GIB, MIN_EPHEMERAL_GIB, size_text_problem, units_of

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_NAME_RULE = "1 to 255 letters, digits, '-' and '_'"
_MAX_STOP_TIMEOUT = 120

_READ_ONLY = frozenset(
    {
        "compatibilities",
        "deleteRequestedAt",
        "deregisteredAt",
        "registeredAt",
        "registeredBy",
        "requiresAttributes",
        "revision",
        "status",
        "taskDefinitionArn",
    }
)
"""What DescribeTaskDefinition answers and RegisterTaskDefinition does not take."""


def registrable(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task definition as it can be registered, also from what DescribeTaskDefinition answered."""
    inner = document.get("taskDefinition")
    whole = inner if isinstance(inner, Mapping) else document
    return {name: value for name, value in whole.items() if name not in _READ_ONLY}


def check_template(document: Mapping[str, Any]) -> None:
    """Raise unless ECS could register the document."""
    containers = document.get("containerDefinitions")
    if not isinstance(containers, list) or not containers:
        raise allowed("a complete task definition: containerDefinitions is missing or empty")
    if problems := shape_problems(document, "RegisterTaskDefinition"):
        raise allowed("; ".join(problems))
    found = [*_definition_problems(document), *_container_problems(containers), *_reserved_variables(containers)]
    if "FARGATE" in (document.get("requiresCompatibilities") or ()):
        found += _fargate_problems(document)
    if found:
        raise allowed("; ".join(found))


def read_template(path: str | Path) -> dict[str, Any]:
    """Read a template from a JSON file. Raises RequestInvalid naming the file and what is wrong with it."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise RequestInvalid(
            [Problem("task_definition_template", str(path), f"a JSON file with a task definition ({why})")]
        ) from exc
    if not isinstance(document, Mapping):
        raise RequestInvalid([Problem("task_definition_template", str(path), "a JSON object")])
    return registrable(document)


def _definition_problems(document: Mapping[str, Any]) -> Iterator[str]:
    family, storage = document.get("family"), document.get("ephemeralStorage")
    if family is not None and not _NAME.fullmatch(family):
        yield f"family: {_NAME_RULE}"
    if storage and not MIN_EPHEMERAL_GIB <= storage["sizeInGiB"] <= MAX_EPHEMERAL_GIB:
        yield f"ephemeralStorage: {MIN_EPHEMERAL_GIB} to {MAX_EPHEMERAL_GIB} GiB"


def _reserved_variables(containers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for container in containers:
        variables = [*(container.get("environment") or ()), *(container.get("secrets") or ())]
        names = [str(variable.get("name")) for variable in variables]
        if ours := sorted({name for name in names if is_reserved(name)}):
            yield f"containerDefinitions.{container.get('name')}: {', '.join(ours)}: names of variables that are ours"


def _container_problems(containers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = [container.get("name") for container in containers]
    if not all(names) or len(set(names)) < len(names):
        yield "containerDefinitions: every container has a name, and no two have the same"
    elif wrong := [str(name) for name in names if not _NAME.fullmatch(str(name))]:
        yield f"containerDefinitions: {', '.join(map(repr, wrong))}: a name has {_NAME_RULE}"
    if without := [str(container.get("name")) for container in containers if not container.get("image")]:
        yield f"containerDefinitions: {', '.join(without)} has no image"
    if not any(container.get("essential", True) for container in containers):
        yield "containerDefinitions: at least one container is essential"
    for container in containers:
        given = [pair.get("name") for kind in ("environment", "secrets") for pair in container.get(kind) or ()]
        if twice := sorted({str(name) for name in given if given.count(name) > 1}):
            yield f"containerDefinitions: {container.get('name')} is given {', '.join(twice)} twice"
        if not 0 <= container.get("stopTimeout", 0) <= _MAX_STOP_TIMEOUT:
            yield f"containerDefinitions: the stopTimeout of {container.get('name')} is at most {_MAX_STOP_TIMEOUT}"


def _fargate_problems(document: Mapping[str, Any]) -> Iterator[str]:
    if document.get("networkMode") != "awsvpc":
        yield "networkMode: awsvpc, the only one that Fargate has"
    cpu, memory = str(document.get("cpu") or ""), str(document.get("memory") or "")
    if not cpu or not memory:
        yield "a task definition for Fargate says its cpu and memory"
    elif problem := size_text_problem(cpu, memory):
        yield problem
    containers = document["containerDefinitions"]
    if (units := units_of(cpu)) and sum(container.get("cpu", 0) for container in containers) > units:
        yield f"containerDefinitions: their cpu is more than the task's {cpu} in sum"
    for container in containers:
        if (mib := units_of(memory)) and container.get("memory", 0) > mib:
            yield f"containerDefinitions: the memory of {container.get('name')} is more than the task's {memory}"
