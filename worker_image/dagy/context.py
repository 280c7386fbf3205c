"""Which run this is. Tasks ask :meth:`RunContext.current`; the worker and local runs provide the answer.

Kept in a context variable, so it holds in the executor's threads and says the right thing when runs overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

_current: ContextVar[RunContext | None] = ContextVar("dagy_run", default=None)
_task: ContextVar[str] = ContextVar("dagy_task", default="")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """The run that code is part of. ``shard`` and ``batch_id`` are set in the runs of a fan-out only."""

    run_id: str
    flow_name: str
    attempt: int = 1
    correlation_id: str = ""
    org_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    shard: int | None = None
    batch_id: str = ""
    environment: str = ""

    @classmethod
    def current(cls) -> RunContext:
        """Return the context of the run that the caller is part of. Raises LookupError outside a run."""
        context = _current.get()
        if context is None:
            raise LookupError(
                "no run is under way here. In a test, open one: with RunContext.local('my_flow').active(): ..."
            )
        return context

    @classmethod
    def local(cls, flow_name: str, parameters: Mapping[str, Any] | None = None) -> Self:
        """Return the context of a run on this machine, with an id of its own."""
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
    def task(self) -> str:
        """Name of the task that the caller is part of, or "" between tasks."""
        return current_task()

    @contextmanager
    def active(self) -> Iterator[Self]:
        """Make this the current context until the end of the block."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)


def current_task() -> str:
    """Return the name of the task that the caller is part of, or "" outside tasks."""
    return _task.get()


@contextmanager
def inside_task(name: str) -> Iterator[None]:
    """Mark the block as part of that task."""
    token = _task.set(name)
    try:
        yield
    finally:
        _task.reset(token)
