"""One attempt of one run, from the environment to the exit code.

``python -m dagy_worker`` calls :func:`main` and :func:`leave`. A warm fork server calls :func:`preload` once, and
``leave(main(os.environ))`` in each child.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, NoReturn

from dagy.attempts import THREAD_PREFIX
from dagy.context import RunContext
from dagy.contract import Env, ExitCode, RunReport, RunSpec
from dagy.environment import export_parameters
from dagy.errors import ParameterError, Terminated
from dagy.flows import Flow
from dagy.states import FlowRun
from dagy_worker.artifact import fetch_artifact, load_artifact
from dagy_worker.errors import BadSpec, ResultNotJson, StorageError, WorkerError
from dagy_worker.logs import Identity, JsonLog, captured, now
from dagy_worker.packages import install_package
from dagy_worker.report import Outcome, encode_result, write_report, write_traceback
from dagy_worker.runspec import read_run_spec
from dagy_worker.storage import Storage, session, warm
from dagy_worker.tasklog import MAX_TRACEBACK, TaskLog, error_report, refusal_report
from dagy_worker.termination import Termination


def preload() -> None:
    """Do once, before forking, what every child would do again: imports, and parsing AWS's models of S3.

    boto3's default session is the warmed one, so that flows that use boto3 gain as well. No connection is opened
    and no credentials, region or endpoint are looked up: children read those from their own environment.
    """
    import boto3

    import dagy.dags  # noqa: F401

    boto3.setup_default_session(botocore_session=session())
    warm()


def main(environ: Mapping[str, str]) -> int:
    """Execute the run that the environment describes and return the exit code of the contract."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    termination = Termination()
    log = JsonLog(sys.stdout, _identity(environ))
    with (
        termination.installed(),
        captured(log),
        TemporaryDirectory(prefix="dagy-", ignore_cleanup_errors=True) as directory,
    ):
        return _Attempt(environ, log, Path(directory)).perform(termination)


def leave(code: int) -> NoReturn:
    """End the process with ``code``: at once if it was told to stop, or if tasks that ran out of time still run."""
    sys.stdout.flush()
    sys.stderr.flush()
    left_behind = any(thread.name.startswith(THREAD_PREFIX) for thread in threading.enumerate())
    if left_behind or code == ExitCode.TERMINATED:
        os._exit(code)
    sys.exit(code)


class _Attempt:
    def __init__(self, environ: Mapping[str, str], log: JsonLog, directory: Path) -> None:
        self._environ = environ
        self._log = log
        self._directory = directory
        self._storage: Storage | None = None
        self._spec: RunSpec | None = None
        self._started_at = now()
        self._started = monotonic()

    def perform(self, termination: Termination) -> int:
        try:
            with termination.armed():
                outcome = self._run()
        except WorkerError as exc:
            outcome = Outcome(exit_code=exc.exit_code, error=refusal_report(exc))
        except Terminated as exc:
            outcome = Outcome(exit_code=ExitCode.TERMINATED, error=error_report(exc))
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the flow's own code, before its first task
            outcome = Outcome(exit_code=ExitCode.FLOW_FAILED, error=error_report(exc))
        exit_code = self._report(outcome)
        self._log_end(outcome, exit_code)
        return exit_code

    def _run(self) -> Outcome:
        storage = self._storage = Storage(self._environ)
        spec = self._spec = read_run_spec(self._environ, storage)
        self._log.identity = _identity_of(spec)
        self._log.emit("INFO", f"run of {spec.flow_name} {spec.flow_version} started", "run_started")
        self._install_packages(spec, storage)
        export_parameters(spec.parameters, os.environ)
        flow = load_artifact(fetch_artifact(spec, storage, self._directory))
        try:
            finished = self._execute(flow, spec)
        except ParameterError as exc:
            raise BadSpec(str(exc)) from exc
        return _outcome(finished)

    def _install_packages(self, spec: RunSpec, storage: Storage) -> None:
        places: list[str] = []
        for index, uri in enumerate(spec.dep_package_uris):
            places += install_package(uri, storage, self._directory / f"package-{index}")
            self._log.emit("INFO", f"installed {uri}", "package_installed")
        sys.path[:0] = places

    def _execute(self, flow: Flow, spec: RunSpec) -> FlowRun:
        parameters = flow.bind(spec.parameters)
        export_parameters(parameters, os.environ)
        return flow.execute(parameters, context=_context(spec, parameters), listener=TaskLog(self._log))

    def _report(self, outcome: Outcome) -> int:
        """Write report and traceback; return the exit code, which is another one if the report cannot be written."""
        report_uri = self._spec.result_uri if self._spec else self._environ.get(Env.RESULT_URI, "")
        traces_uri = self._spec.traces_uri if self._spec else ""
        if self._storage is None:
            return outcome.exit_code
        try:
            if traces_uri and outcome.error:
                write_traceback(self._storage, outcome.error.traceback, traces_uri)
            if report_uri:
                write_report(self._storage, self._run_report(outcome), outcome, report_uri)
        except StorageError as exc:
            self._log.emit("ERROR", f"the run's report is lost: {exc}", "report_failed")
            return outcome.exit_code or exc.exit_code
        return outcome.exit_code

    def _run_report(self, outcome: Outcome) -> RunReport:
        identity, error = self._log.identity, outcome.error
        return RunReport(
            run_id=identity.run_id,
            attempt=identity.attempt,
            status=outcome.status,
            error=replace(error, traceback=error.traceback[-MAX_TRACEBACK:]) if error else None,
            tasks=outcome.tasks,
            started_at=self._started_at,
            finished_at=now(),
        )

    def _log_end(self, outcome: Outcome, exit_code: int) -> None:
        more: dict[str, Any] = {"exit_code": exit_code, "seconds": round(monotonic() - self._started, 3)}
        message = f"run {outcome.status.value}"
        if outcome.error is not None:
            message += f": {outcome.error.type}: {outcome.error.message}"
            more["traceback"] = outcome.error.traceback[-MAX_TRACEBACK:]
        level = "INFO" if exit_code == ExitCode.OK else "ERROR"
        self._log.emit(level, message, "run_finished", status=outcome.status.value, **more)


def _outcome(finished: FlowRun) -> Outcome:
    tasks = {name: run.state.value for name, run in finished.tasks.items()}
    error = finished.error
    if error is None:
        try:
            return Outcome(exit_code=ExitCode.OK, result=encode_result(finished.result), tasks=tasks)
        except ResultNotJson as exc:
            error = exc
    code = ExitCode.TERMINATED if isinstance(error, Terminated) else ExitCode.FLOW_FAILED
    return Outcome(exit_code=code, error=error_report(error, finished.failed_task), tasks=tasks)


def _context(spec: RunSpec, parameters: Mapping[str, Any]) -> RunContext:
    return RunContext(
        run_id=spec.run_id,
        flow_name=spec.flow_name,
        attempt=spec.attempt,
        correlation_id=spec.correlation_id,
        org_id=spec.org_id,
        parameters=parameters,
        shard=spec.shard,
        batch_id=spec.batch_id,
        environment=spec.environment,
    )


def _identity(environ: Mapping[str, str]) -> Identity:
    """What is known before the spec is read."""
    attempt = environ.get(Env.ATTEMPT, "")
    return Identity(
        run_id=environ.get(Env.RUN_ID, ""),
        attempt=int(attempt) if attempt.isascii() and attempt.isdigit() else 1,
        correlation_id=environ.get(Env.CORRELATION_ID, ""),
        org_id=environ.get(Env.ORG_ID, ""),
    )


def _identity_of(spec: RunSpec) -> Identity:
    return Identity(
        run_id=spec.run_id,
        attempt=spec.attempt,
        correlation_id=spec.correlation_id,
        org_id=spec.org_id,
        flow=spec.flow_name,
    )
