"""What came of a run: the states of tasks, and the values that the executor hands to its listener and caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from dagy.errors import described


class StateType(StrEnum):
    """The kinds of states. A flow's own is RUNNING, SUCCEEDED or FAILED."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    TIMED_OUT = "TIMED_OUT"


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where a task or flow stands; hooks are given one. It equals every state, and every text, of the same type.

    ``State.FAILED`` and the like have no message; :func:`running`, :func:`completed` and :func:`failed` make one.
    """

    type: StateType
    message: str = ""
    error: BaseException | None = field(default=None, repr=False)

    RUNNING: ClassVar[State]
    SUCCEEDED: ClassVar[State]
    FAILED: ClassVar[State]
    SKIPPED: ClassVar[State]
    TIMED_OUT: ClassVar[State]

    @property
    def value(self) -> str:
        """The type as text."""
        return self.type.value

    @property
    def is_failure(self) -> bool:
        """Whether the task ran and did not succeed."""
        return self.type in (StateType.FAILED, StateType.TIMED_OUT)

    def __eq__(self, other: object) -> bool:
        return self.type == (other.type if isinstance(other, State) else other)

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return self.value


for _type in StateType:
    setattr(State, _type.name, State(_type))


def running(message: str = "") -> State:
    """Return the state of what has started."""
    return State(StateType.RUNNING, message)


def completed(message: str = "") -> State:
    """Return the state of what has succeeded."""
    return State(StateType.SUCCEEDED, message)


def failed(message: str = "", *, error: BaseException | None = None, type: StateType = StateType.FAILED) -> State:  # noqa: A002 - the field's name
    """Return the state of what has failed, or with ``type`` of what timed out."""
    return State(type, message or described(error), error)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRun:
    """One task of a run: its state after ``attempts`` attempts. A skipped task has none and no times.

    ``error`` is that of the last attempt, also while another one is due.
    """

    name: str
    state: State
    attempts: int = 0
    error: BaseException | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def seconds(self) -> float:
        """Time from the first attempt's start to the end, or 0 while there is no end."""
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowRun:
    """One finished run of a flow: its result, or the error that made it fail first."""

    state: State
    result: Any = None
    tasks: Mapping[str, TaskRun] = field(default_factory=dict)
    error: BaseException | None = None
    run_id: str = ""

    @property
    def status(self) -> str:
        """The state as text: SUCCEEDED or FAILED."""
        return self.state.value

    @property
    def failed_task(self) -> str:
        """Name of the task whose error is the run's error, or "" if no task is to blame."""
        failed = (run.name for run in self.tasks.values() if run.error is not None and run.error is self.error)
        return next(failed, "")
