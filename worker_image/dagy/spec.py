"""``flow_spec.json``: what an artifact says about its flow. Written by ``dagy build``, read by the worker and the API.

The document, schema 1::

    {
      "schema": 1,
      "name": "etl_pipeline", "version": "1.0.0", "description": "...",
      "parameters": [{"name": "source", "required": true}, {"name": "limit", "required": false, "default": 10}],
      "tasks": [{"name": "extract", "function": "extract", "upstream": [], "options": {"retries": 2}}, ...],
      "entrypoint": {"file": "src/etl_pipeline.py", "object": "dag"}
    }

``tasks`` of a ``with DAG(...)`` flow is its graph. A ``@flow`` function makes its graph anew for each run's
parameters: ``tasks`` is then the graph of the defaults, good for showing, and null where a parameter has no default
or the function refuses them. ``upstream`` names tasks of the list. ``options`` holds those that differ from their
defaults. A default that is not a JSON value is written as null. ``file`` is a path inside the artifact, ``object`` the
name of the flow in that file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from dagy.errors import SpecError

SCHEMA = 1
"""Version of the document. A reader refuses a document of another version."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterSpec:
    """One parameter that a flow takes."""

    name: str
    required: bool = True
    default: Any = None

    def as_json(self) -> dict[str, Any]:
        """Return the parameter as in the document."""
        named: dict[str, Any] = {"name": self.name, "required": self.required}
        return named if self.required else {**named, "default": _json_or_none(self.default)}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpec:
    """One task of a flow's graph."""

    name: str
    function: str
    upstream: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the task as in the document."""
        return {
            "name": self.name,
            "function": self.function,
            "upstream": list(self.upstream),
            "options": dict(self.options),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrypoint:
    """Where in the artifact the flow is."""

    file: str
    object: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowSpec:
    """The whole document."""

    name: str
    version: str
    entrypoint: Entrypoint
    description: str = ""
    parameters: tuple[ParameterSpec, ...] = ()
    tasks: tuple[TaskSpec, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the document as JSON values."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "parameters": [parameter.as_json() for parameter in self.parameters],
            "tasks": None if self.tasks is None else [task.as_json() for task in self.tasks],
            "entrypoint": {"file": self.entrypoint.file, "object": self.entrypoint.object},
        }

    def to_json(self) -> str:
        """Return the document as text."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a document. Raises SpecError if it is not a flow spec of this schema."""
        try:
            document = json.loads(text)
        except json.JSONDecodeError as exc:
            raise SpecError(f"flow spec: not JSON ({exc})") from exc
        if not isinstance(document, dict):
            raise SpecError(f"flow spec: expected an object, got {type(document).__name__}")
        if document.get("schema") != SCHEMA:
            raise SpecError(f"flow spec: schema {document.get('schema')!r} is not supported; this side reads {SCHEMA}")
        try:
            return cls._from(document)
        except KeyError as exc:
            raise SpecError(f"flow spec: missing {exc}") from exc
        except (TypeError, AttributeError) as exc:
            raise SpecError(f"flow spec: {exc}") from exc

    @classmethod
    def _from(cls, document: dict[str, Any]) -> Self:
        tasks = document["tasks"]
        entrypoint = document["entrypoint"]
        return cls(
            name=document["name"],
            version=document["version"],
            description=document.get("description", ""),
            parameters=tuple(
                ParameterSpec(name=p["name"], required=p["required"], default=p.get("default"))
                for p in document["parameters"]
            ),
            tasks=None if tasks is None else tuple(_task_from(task) for task in tasks),
            entrypoint=Entrypoint(file=entrypoint["file"], object=entrypoint["object"]),
        )


def _task_from(task: dict[str, Any]) -> TaskSpec:
    return TaskSpec(
        name=task["name"],
        function=task["function"],
        upstream=tuple(task["upstream"]),
        options=dict(task["options"]),
    )


def _json_or_none(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return None
