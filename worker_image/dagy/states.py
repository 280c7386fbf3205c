"""What came of a run: the states of tasks, and the values that the executor hands to its listener and caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Where a task stands inside a run. A flow's own state is RUNNING, SUCCEEDED or FAILED."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def is_failure(self) -> bool:
        """Whether the task ran and did not succeed."""
        return self in (State.FAILED, State.TIMED_OUT)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRun:
    """One task of a run: its state after ``attempts`` attempts. A skipped task has none and no times."""

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

    @property
    def failed_task(self) -> str:
        """Name of the task whose error is the run's error, or "" if no task is to blame."""
        failed = (run.name for run in self.tasks.values() if run.error is not None and run.error is self.error)
        return next(failed, "")
