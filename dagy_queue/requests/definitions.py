"""Task definition templates: complete task definitions in ECS's JSON form, as files or values; pure but for reading.

The request models check them; ``launching/definitions.py`` makes what is registered from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.api_shapes import shape_problems
from dagy_queue.requests.refusals import allowed
from dagy_queue.requests.sizes import size_problem

_READ_ONLY = frozenset(
    {
        "compatibilities",
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
    names = [container.get("name") for container in containers]
    if not all(names) or len(set(names)) < len(names):
        raise allowed("containerDefinitions: every container has a name, and no two have the same")
    if without := [container["name"] for container in containers if not container.get("image")]:
        raise allowed(f"containerDefinitions: {', '.join(without)} has no image")
    if "FARGATE" in (document.get("requiresCompatibilities") or ()) and (problem := _size_problem(document)):
        raise allowed(problem)


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


def _size_problem(document: Mapping[str, Any]) -> str:
    cpu, memory = str(document.get("cpu") or ""), str(document.get("memory") or "")
    if not cpu or not memory:
        return "a task definition for Fargate says its cpu and memory"
    if not (cpu.isdecimal() and memory.isdecimal()):
        return ""  # "1 vCPU" and "2 GB": ECS reads them
    problem = size_problem(int(cpu), int(memory))
    return f"cpu {cpu} with memory {memory}: {problem}" if problem else ""
