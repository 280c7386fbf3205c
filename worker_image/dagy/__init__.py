"""The Dagy flow SDK: what flow authors import, in their own code and in the container.

Names are loaded when first used, so that ``import dagy`` (and ``import dagy.contract`` in a dispatcher) costs
next to nothing. The SDK needs the standard library only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagy.build import Artifact, build_artifact
    from dagy.context import RunContext
    from dagy.dags import DAG
    from dagy.errors import DagyError
    from dagy.flows import Flow, flow
    from dagy.graph import TaskOutput
    from dagy.spec import FlowSpec
    from dagy.states import FlowRun, State, TaskRun
    from dagy.tasks import Task, task

__version__ = "0.1.0"

__all__ = [
    "DAG",
    "Artifact",
    "DagyError",
    "Flow",
    "FlowRun",
    "FlowSpec",
    "RunContext",
    "State",
    "Task",
    "TaskOutput",
    "TaskRun",
    "__version__",
    "build_artifact",
    "flow",
    "task",
]

_HOMES = {
    "DAG": "dags",
    "Artifact": "build",
    "DagyError": "errors",
    "Flow": "flows",
    "FlowRun": "states",
    "FlowSpec": "spec",
    "RunContext": "context",
    "State": "states",
    "Task": "tasks",
    "TaskOutput": "graph",
    "TaskRun": "states",
    "build_artifact": "build",
    "flow": "flows",
    "task": "tasks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dagy' has no attribute {name!r}")
    value = getattr(import_module(f"dagy.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
