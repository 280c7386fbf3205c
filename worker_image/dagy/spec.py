"""``flow_spec.json``: what an artifact says about its flow. Written by ``dagy build``, read by the worker and the API.

docs/flow-spec.md describes the document, docs/flow-spec.schema.json is its JSON Schema. Members may be added to
schema 1, so a reader ignores those that it does not know; a change that a reader must know of is another schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from dagy.errors import SpecError
from dagy.spec_reading import Members

SCHEMA = 1
"""Version of the document. A reader refuses a document of another version."""

FLOW_SPEC = "flow_spec.json"
"""Where the document is in an artifact."""
SOURCES = "src"
"""The directory of an artifact that has the flow's file and what it needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterSpec:
    """One parameter that a flow takes. ``type`` is its annotation as it was written, or "" if it has none."""

    name: str
    required: bool = True
    default: Any = None
    type: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the parameter as in the document."""
        document: dict[str, Any] = {"name": self.name, "required": self.required}
        if not self.required:
            document["default"] = _json_or_none(self.default)
        return {**document, "type": self.type} if self.type else document

    @classmethod
    def read(cls, members: Members) -> Self:
        """Read a parameter of a document."""
        return cls(
            name=members.text("name"),
            required=members.flag("required"),
            default=members.anything("default"),
            type=members.text("type", ""),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpec:
    """One call of a task in a flow's graph. ``task`` is the task's name, ``name`` that of the call."""

    name: str
    function: str
    task: str = ""
    upstream: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the task as in the document."""
        return {
            "name": self.name,
            "task": self.task or self.name,
            "function": self.function,
            "upstream": list(self.upstream),
            "options": dict(self.options),
        }

    @classmethod
    def read(cls, members: Members) -> Self:
        """Read a task of a document."""
        return cls(
            name=members.text("name"),
            task=members.text("task", members.text("name")),
            function=members.text("function"),
            upstream=members.texts("upstream"),
            options=members.object("options").all,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrypoint:
    """Where in the artifact the flow is."""

    file: str
    object: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowSpec:
    """The whole document. ``tasks`` and ``outputs`` are None if only a run's parameters can tell them."""

    name: str
    version: str
    entrypoint: Entrypoint
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    fail_fast: bool = True
    max_workers: int | None = None
    parameters: tuple[ParameterSpec, ...] = ()
    tasks: tuple[TaskSpec, ...] | None = None
    outputs: tuple[str, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the document as JSON values."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "tags": dict(self.tags),
            "fail_fast": self.fail_fast,
            "max_workers": self.max_workers,
            "parameters": [parameter.as_json() for parameter in self.parameters],
            "tasks": None if self.tasks is None else [task.as_json() for task in self.tasks],
            "outputs": None if self.outputs is None else list(self.outputs),
            "entrypoint": {"file": self.entrypoint.file, "object": self.entrypoint.object},
        }

    def to_json(self) -> str:
        """Return the document as text."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a document. Raises SpecError, naming the member, if it is not a flow spec of this schema."""
        try:
            document = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as exc:
            raise SpecError(f"flow spec: not JSON ({exc})") from exc
        if not isinstance(document, dict):
            raise SpecError(f"flow spec: expected an object, got {type(document).__name__}")
        if document.get("schema") != SCHEMA or isinstance(document["schema"], bool):
            raise SpecError(_other_schema(document.get("schema")))
        return cls._read(Members(document))

    @classmethod
    def _read(cls, members: Members) -> Self:
        entrypoint = members.object("entrypoint")
        tasks = members.objects("tasks", optional=True)
        spec = cls(
            name=members.text("name"),
            version=members.text("version"),
            description=members.text("description", ""),
            tags=members.object("tags", optional=True).text_by_name(),
            fail_fast=members.flag("fail_fast", default=True),
            max_workers=members.count("max_workers"),
            parameters=tuple(map(ParameterSpec.read, members.objects("parameters") or ())),
            tasks=None if tasks is None else tuple(map(TaskSpec.read, tasks)),
            outputs=members.texts("outputs") if members.all.get("outputs") is not None else None,
            entrypoint=Entrypoint(file=entrypoint.text("file"), object=entrypoint.text("object")),
        )
        spec._refuse_dangling()
        return spec

    def _refuse_dangling(self) -> None:
        """Refuse names of tasks that the document does not have."""
        known = {task.name for task in self.tasks or ()}
        named = [(f"tasks[{i}].upstream", name) for i, task in enumerate(self.tasks or ()) for name in task.upstream]
        for member, name in [*named, *(("outputs", name) for name in self.outputs or ())]:
            if name not in known:
                raise SpecError(f"flow spec: {member}: there is no task {name!r}")


def _other_schema(found: Any) -> str:
    if found is None:
        return "flow spec: missing 'schema'. `dagy build` writes it; a document without it is from somewhere else"
    advice = f"this side reads {SCHEMA}"
    if isinstance(found, int) and found > SCHEMA:
        advice += (
            ", so it is older than the SDK that built the artifact: upgrade dagy-worker here (or the worker image)"
        )
    else:
        advice += ": build the artifact again with `dagy build`"
    return f"flow spec: schema {found!r} is not supported; {advice}"


def _json_or_none(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return None
