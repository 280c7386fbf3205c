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
    from dagy.flows import Flow
    from dagy.function_flows import flow
    from dagy.hooks import Hook
    from dagy.outputs import TaskOutput
    from dagy.spec import FlowSpec
    from dagy.states import FlowRun, State, StateType, TaskRun, completed, failed, running
    from dagy.tasks import Task, task

__version__ = "0.1.0"

__all__ = [
    "DAG",
    "Artifact",
    "DagyError",
    "Flow",
    "FlowRun",
    "FlowSpec",
    "Hook",
    "RunContext",
    "State",
    "StateType",
    "Task",
    "TaskOutput",
    "TaskRun",
    "__version__",
    "build_artifact",
    "completed",
    "failed",
    "flow",
    "running",
    "task",
]

_HOMES = {
    "DAG": "dags",
    "Artifact": "build",
    "DagyError": "errors",
    "Flow": "flows",
    "FlowRun": "states",
    "FlowSpec": "spec",
    "Hook": "hooks",
    "RunContext": "context",
    "State": "states",
    "StateType": "states",
    "Task": "tasks",
    "TaskOutput": "outputs",
    "TaskRun": "states",
    "build_artifact": "build",
    "completed": "states",
    "failed": "states",
    "flow": "function_flows",
    "running": "states",
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
