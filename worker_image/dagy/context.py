"""Which run this is. Tasks ask :meth:`RunContext.current`; the worker and local runs provide the answer.

Kept in a context variable, so it holds in the executor's threads and says the right thing when runs overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any, Self

from dagy.holding import Holding

_current: ContextVar[RunContext | None] = ContextVar("dagy_run", default=None)
_task: ContextVar[tuple[str, int]] = ContextVar("dagy_task", default=("", 0))
STOPPING = Event()
"""Set once this process was told to stop. The worker sets it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """The run that code is part of. ``shard`` and ``batch_id`` are set in the runs of a fan-out only.

    ``attempt`` counts the containers of the run, ``task_attempt`` the attempts of ``task`` in this one; between tasks,
    ``task`` is "" and ``task_attempt`` 0. A hook of a task is given a context whose ``attempt`` is the task's.
    """

    run_id: str
    flow_name: str
    attempt: int = 1
    correlation_id: str = ""
    org_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    shard: int | None = None
    batch_id: str = ""
    environment: str = ""
    task: str = ""
    task_attempt: int = 0

    @classmethod
    def current(cls) -> RunContext:
        """Return the context of the run that the caller is part of. Raises LookupError outside a run."""
        context = _current.get()
        if context is None:
            raise LookupError(
                "no run is under way here. In a test, open one: with RunContext.local('my_flow').active(): ... "
                "A thread that a task starts is part of its run by contextvars.copy_context().run(...)"
            )
        task, task_attempt = _task.get()
        return replace(context, task=task, task_attempt=task_attempt) if task else context

    @classmethod
    def local(cls, flow_name: str, parameters: Mapping[str, Any] | None = None) -> Self:
        """Return the context of a run on this machine, with an id of its own."""
        from uuid import uuid4  # only here: it is slow to import, and a container's run has its id

        run_id = f"local-{uuid4()}"
        return cls(
            run_id=run_id,
            flow_name=flow_name,
            correlation_id=run_id,
            org_id="local",
            parameters=dict(parameters or {}),
            environment="local",
        )

    @property
    def name(self) -> str:
        """Name of the task that this is the context of, else of the flow."""
        return self.task or self.flow_name

    def of_task(self, name: str, attempt: int) -> Self:
        """Return the context as a hook of that task gets it."""
        return replace(self, task=name, task_attempt=attempt, attempt=attempt)

    @property
    def stopping(self) -> Event:
        """Set once the run was told to stop (SIGTERM: a cancel, a deadline, Spot); for loops that want to end well.

        Its tasks are interrupted as well, with ``Terminated``, at their next Python instruction.
        """
        return STOPPING

    def active(self) -> AbstractContextManager[Self]:
        """Make this the current context until the end of the block."""
        return Holding({_current: self, _task: ("", 0)}, self)


def inside_run() -> bool:
    """Tell whether the caller is part of a run."""
    return _current.get() is not None


def current_task() -> str:
    """Return the name of the task that the caller is part of, or "" outside tasks."""
    return _task.get()[0]


def inside_task(name: str, attempt: int = 1) -> AbstractContextManager[None]:
    """Mark the block as part of that attempt at that task."""
    return Holding({_task: (name, attempt)}, None)
