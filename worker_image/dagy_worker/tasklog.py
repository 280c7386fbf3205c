"""Task events as log lines, and errors as the contract reports them."""

from __future__ import annotations

import traceback

from dagy.contract import ErrorReport
from dagy.states import TaskRun
from dagy_worker.errors import BadArtifact, WorkerError
from dagy_worker.logs import JsonLog

MAX_TRACEBACK = 50_000
"""Characters of a traceback in a log line or report, counted from its end; ``traceback.txt`` has all of it."""


class TaskLog:
    """Logs what happens to each task."""

    def __init__(self, log: JsonLog) -> None:
        self._log = log

    def task_started(self, run: TaskRun) -> None:
        """Log the start of an attempt."""
        self._emit("INFO", f"task {run.name} started", "task_started", run)

    def task_succeeded(self, run: TaskRun) -> None:
        """Log the success."""
        self._emit("INFO", f"task {run.name} succeeded", "task_succeeded", run, seconds=round(run.seconds, 3))

    def task_failed(self, run: TaskRun) -> None:
        """Log the failure, with its traceback."""
        message = f"task {run.name} {run.state.value}: {describe(run.error)}"
        self._emit("ERROR", message, "task_failed", run, seconds=round(run.seconds, 3), **_traceback_field(run))

    def task_skipped(self, run: TaskRun) -> None:
        """Log that the task will not run."""
        self._emit("WARNING", f"task {run.name} skipped", "task_skipped", run)

    def task_retrying(self, run: TaskRun, delay_seconds: float) -> None:
        """Log the failed attempt, with its traceback, and the delay."""
        message = f"task {run.name} failed, next attempt in {delay_seconds:g} s: {describe(run.error)}"
        self._emit("WARNING", message, "task_retrying", run, delay_seconds=delay_seconds, **_traceback_field(run))

    def _emit(self, level: str, message: str, event_type: str, run: TaskRun, **more: object) -> None:
        fields = {"state": run.state.value, "task_attempt": run.attempts, **more}
        self._log.emit(level, message, event_type, task=run.name, **fields)


def describe(error: BaseException | None) -> str:
    """Return an error's type and message on one line."""
    return "" if error is None else f"{type(error).__name__}: {_message(error)}"


def error_report(error: BaseException, task: str = "") -> ErrorReport:
    """Return an error as the contract has it, with the whole traceback."""
    text = "".join(traceback.format_exception(error))
    return ErrorReport(type=type(error).__name__, message=_message(error), task=task, traceback=text)


def refusal_report(error: WorkerError) -> ErrorReport:
    """Return an error of the worker's own. Its message says it all, but for a flow's file that cannot be imported."""
    cause = error.__cause__ if isinstance(error, BadArtifact) else None
    text = "" if cause is None else "".join(traceback.format_exception(cause))
    return ErrorReport(type=type(error).__name__, message=str(error), traceback=text)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception class of the user's may do anything
        return "<its message cannot be shown>"


def _traceback_field(run: TaskRun) -> dict[str, object]:
    return {} if run.error is None else {"traceback": error_report(run.error, run.name).traceback[-MAX_TRACEBACK:]}
