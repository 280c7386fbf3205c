"""The end of one run: its traceback and report into S3, its line into the log.

The flow's process ends the runs that it executes; the supervisor those that it cannot end any more.
"""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Any, NamedTuple

from dagy.contract import ExitCode, RunReport, RunSpec
from dagy_worker.error_reports import bounded, one_line, redacted, refusal_report
from dagy_worker.errors import StorageError
from dagy_worker.logs import Identity, JsonLog, now
from dagy_worker.report import Outcome, write_report, write_traceback
from dagy_worker.storage import Storage


class Whose(NamedTuple):
    """The run that ends, and where its report and traceback go ("" for nowhere)."""

    identity: Identity
    report_uri: str = ""
    traces_uri: str = ""
    started_at: str = ""
    started: float = 0.0
    """``time.monotonic()`` of the start; 0 for a run that never started."""


def whose(spec: RunSpec, started_at: str = "", started: float = 0.0) -> Whose:
    """Return the run of a spec."""
    return Whose(identity_of(spec), spec.result_uri, spec.traces_uri, started_at, started)


def identity_of(spec: RunSpec) -> Identity:
    """Return what a run's log lines carry."""
    return Identity(
        run_id=spec.run_id,
        attempt=spec.attempt,
        correlation_id=spec.correlation_id,
        org_id=spec.org_id,
        flow=spec.flow_name,
    )


def conclude(run: Whose, outcome: Outcome, log: JsonLog, storage: Storage | None) -> Outcome:
    """Report and log how a run ended; return that: a success of which the report cannot be written is a failure."""
    if outcome.error is not None:
        outcome = replace(outcome, error=redacted(outcome.error, log.redact))
    log.identity = run.identity
    if storage is not None:
        try:
            if run.report_uri:
                write_report(storage, _report(run, outcome), outcome, run.report_uri)
        except StorageError as exc:
            log.emit("ERROR", f"the run's report is lost: {exc}", "report_failed", task="")
            if outcome.error is None:
                error = redacted(refusal_report(exc), log.redact)
                outcome = replace(outcome, exit_code=exc.exit_code, error=error)
        try:
            if run.traces_uri and outcome.error:
                write_traceback(storage, outcome.error.traceback or one_line(outcome.error), run.traces_uri)
        except StorageError as exc:
            log.emit("WARNING", f"the run's traceback is only in the log: {exc}", "traceback_failed", task="")
    _log_end(run, outcome, log)
    return outcome


def _report(run: Whose, outcome: Outcome) -> RunReport:
    return RunReport(
        run_id=run.identity.run_id,
        attempt=run.identity.attempt,
        status=outcome.status,
        error=bounded(outcome.error) if outcome.error else None,
        tasks=outcome.tasks,
        started_at=run.started_at or now(),
        finished_at=now(),
    )


def _log_end(run: Whose, outcome: Outcome, log: JsonLog) -> None:
    more: dict[str, Any] = {
        "exit_code": outcome.exit_code,
        "seconds": round(monotonic() - run.started, 3) if run.started else 0,
    }
    message = f"run {outcome.status.value}"
    if outcome.error is not None:
        message += f": {one_line(outcome.error)}"
        more["traceback"] = outcome.error.traceback
    level = "INFO" if outcome.exit_code == ExitCode.OK else "ERROR"
    log.emit(level, message, "run_finished", task="", status=outcome.status.value, **more)
