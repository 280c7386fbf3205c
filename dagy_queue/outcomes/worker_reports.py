"""What a worker's report, or the lack of one, makes of the outcome that ECS's word gave; pure.

Dispatchers and the direct mode ask once they have looked for the report.
"""

from __future__ import annotations

from dataclasses import replace

from dagy.contract import OUT_OF_MEMORY, ErrorReport, RunReport
from dagy_queue.outcomes.outcome import Kind, Outcome

_TRACEBACK_TAIL = 4000
"""Characters of a traceback that an outcome carries: its end says what went wrong."""

WITHOUT_REPORT = "the container exited with 0 without writing its report"
OUT_OF_MEMORY_RESOLUTION = "choose more memory for the run, or let `oom_retries` and `grow_on_oom` do it"


def without_success(outcome: Outcome, report: RunReport | None) -> Outcome:
    """Return the outcome of a flow whose container exited with 0, and whose report is missing or tells an error."""
    error = report.error if report is not None else None
    return Outcome(
        kind=Kind.FAILED,
        summary=WITHOUT_REPORT if error is None else error.message,
        detail="a container that runs a flow writes a report before it ends; another entrypoint leaves none",
        resolution="read the run's log; for an image without Dagy, launch it as a container",
        exit_code=outcome.exit_code,
        task_arn=outcome.task_arn,
        cpu=outcome.cpu,
        memory=outcome.memory,
    )


def with_error(outcome: Outcome, error: ErrorReport) -> Outcome:
    """Return the outcome of a container that failed, with what only the worker knows of its error.

    Where memory ran out, the kernel may have killed the flow's process and not the container: ECS does not see that.
    """
    if error.type != OUT_OF_MEMORY or outcome.kind is not Kind.FAILED:
        return outcome
    return replace(
        outcome,
        kind=Kind.OUT_OF_MEMORY,
        summary="the flow's process was killed because memory ran out",
        resolution=OUT_OF_MEMORY_RESOLUTION,
    )


def in_words_of(report: RunReport | None, outcome: Outcome) -> Outcome:
    """Return the outcome with the error that the report tells of, if it does."""
    if report is None or report.error is None:
        return outcome
    error = report.error
    where = f" in task {error.task!r}" if error.task else ""
    message = f": {error.message}" if error.message else ""
    summary = f"{error.type}{where}{message}"
    return outcome.with_detail(summary, error.traceback[-_TRACEBACK_TAIL:] or outcome.detail)
