"""Errors as the contract has them: type, message, task and traceback."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace

from dagy.contract import ErrorReport
from dagy.errors import message_of
from dagy_worker.errors import BadArtifact, WorkerError

MAX_TRACEBACK = 50_000
"""Characters of a traceback in a report, counted from its end; ``traceback.txt`` has all of it."""
MAX_MESSAGE = 10_000


def error_report(error: BaseException, task: str = "") -> ErrorReport:
    """Return an error of the flow's, with the whole traceback."""
    return ErrorReport(type=type(error).__name__, message=message_of(error), task=task, traceback=traceback_of(error))


def refusal_report(error: WorkerError) -> ErrorReport:
    """Return an error of the worker's own. Its message says it all, but for a flow's file that cannot be imported."""
    cause = error.__cause__ if isinstance(error, BadArtifact) else None
    text = "" if cause is None else traceback_of(cause)
    return ErrorReport(type=type(error).__name__, message=message_of(error), traceback=text)


def traceback_of(error: BaseException) -> str:
    """Return an error's traceback as Python prints it, in UTF-8 whatever is in it."""
    return "".join(traceback.format_exception(error)).encode(errors="backslashreplace").decode()


def redacted(error: ErrorReport, redact: Callable[[str], str]) -> ErrorReport:
    """Return an error without the values of secrets."""
    return replace(error, message=redact(error.message), traceback=redact(error.traceback))


def bounded(error: ErrorReport) -> ErrorReport:
    """Return an error as a report has room for it."""
    return replace(error, message=error.message[:MAX_MESSAGE], traceback=error.traceback[-MAX_TRACEBACK:])


def one_line(error: ErrorReport | None) -> str:
    """Return a reported error's type and message, or its type if it has none; "" for no error."""
    if error is None:
        return ""
    return f"{error.type}: {error.message}" if error.message else error.type
