"""Task events as log lines, and as notes for the supervisor. The executor tells them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from dagy.errors import described
from dagy.states import State, TaskRun
from dagy_worker.error_reports import traceback_of
from dagy_worker.logs import JsonLog
from dagy_worker.notes import Note, TaskChanged


class TaskLog:
    """Tells what happens to each task of the run at ``place``.

    ``check`` is called first: an event may come to pass in a process that a task forked and came back from.
    """

    def __init__(self, log: JsonLog, place: int, tell: Callable[[Note], None], check: Callable[[], None]) -> None:
        self._log = log
        self._place = place
        self._tell = tell
        self._check = check
        self._running: dict[str, TaskRun] = {}
        self.states: dict[str, str] = {}
        """Where each task stands, by its name."""

    @property
    def task(self) -> str:
        """The task that is under way, if there is just one; else ""."""
        return next(iter(self._running)) if len(self._running) == 1 else ""

    def task_started(self, run: TaskRun) -> None:
        """Log the start of an attempt."""
        self._emit("INFO", f"task {run.name} started", "task_started", run)

    def task_succeeded(self, run: TaskRun) -> None:
        """Log the success."""
        self._emit("INFO", f"task {run.name} finished", "task_finished", run, seconds=round(run.seconds, 3))

    def task_failed(self, run: TaskRun) -> None:
        """Log the failure, with its traceback."""
        message = f"task {run.name} {run.state.value}: {described(run.error)}"
        self._emit("ERROR", message, "task_failed", run, seconds=round(run.seconds, 3), **_traceback_field(run))

    def task_skipped(self, run: TaskRun) -> None:
        """Log that the task will not run."""
        self._emit("WARNING", f"task {run.name} skipped", "task_skipped", run)

    def task_retrying(self, run: TaskRun, delay_seconds: float) -> None:
        """Log the failed attempt, with its traceback, and the delay."""
        message = f"task {run.name} failed, next attempt in {delay_seconds:g} s: {described(run.error)}"
        self._emit("WARNING", message, "task_retrying", run, delay_seconds=delay_seconds, **_traceback_field(run))

    def broken_off(self, error: BaseException) -> None:
        """Fail the tasks that were under way when the execution itself ended with an error."""
        for run in list(self._running.values()):
            self.task_failed(replace(run, state=State.FAILED, error=error, finished_at=datetime.now(UTC)))

    def _emit(self, level: str, message: str, event_type: str, run: TaskRun, **more: object) -> None:
        self._check()
        self.states[run.name] = run.state.value
        if run.state is State.RUNNING:
            self._running[run.name] = run
        else:
            self._running.pop(run.name, None)
        self._tell(self._note(run))
        fields = {"state": run.state.value, "task_attempt": run.attempts, **more}
        self._log.emit(level, message, event_type, task=run.name, **fields)

    def _note(self, run: TaskRun) -> TaskChanged:
        return TaskChanged(
            place=self._place,
            name=run.name,
            state=run.state.value,
            tries=run.attempts,
            started_at=_iso(run.started_at),
            finished_at=_iso(run.finished_at),
            seconds=run.seconds,
            error=self._log.redact(described(run.error)),
        )


def _iso(at: datetime | None) -> str:
    return "" if at is None else at.isoformat()


def _traceback_field(run: TaskRun) -> dict[str, object]:
    return {} if run.error is None else {"traceback": traceback_of(run.error)}
