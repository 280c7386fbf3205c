"""One run inside the container: executing its flow, reporting it. ``dagy_worker/main.py`` has them in turn.

A container usually has one; shards of a batch may share a container, and each is reported on its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

from dagy.context import RunContext
from dagy.contract import Env, ExitCode, RunReport, RunSpec
from dagy.environment import export_parameters
from dagy.errors import ParameterError, Terminated
from dagy.flows import Flow
from dagy.states import FlowRun
from dagy_worker.errors import BadSpec, ResultNotJson, StorageError, WorkerError
from dagy_worker.logs import Identity, JsonLog, now
from dagy_worker.report import Outcome, encode_result, write_report, write_traceback
from dagy_worker.storage import Storage
from dagy_worker.tasklog import MAX_TRACEBACK, TaskLog, error_report, refusal_report


class Member:
    """One run of the container. Without a spec it is whatever run the environment means, and can only be refused."""

    def __init__(self, spec: RunSpec | None, storage: Storage | None, log: JsonLog, report_uri: str = "") -> None:
        self._spec = spec
        self._storage = storage
        self._log = log
        self._report_uri = spec.result_uri if spec else report_uri
        self._traces_uri = spec.traces_uri if spec else ""
        self._started_at = now()
        self._started = monotonic()
        self.is_over = False
        """Whether its end was reported."""

    def execute(self, flow: Flow) -> Outcome:
        """Execute the flow for this run; return how it ended, for :meth:`conclude`. Raises Terminated."""
        spec = self._spec
        if spec is None:
            raise BadSpec("there is no run spec")
        self._started_at, self._started = now(), monotonic()
        self._log.identity = identity_of(spec)
        with environment_of(spec), parameters_exported(spec.parameters):
            return self._executed(flow, spec)

    def conclude(self, outcome: Outcome) -> int:
        """Report and log the end; return the exit code."""
        if self._spec is not None:
            self._log.identity = identity_of(self._spec)
        exit_code = self._report(outcome)
        self.is_over = True
        self._log_end(outcome, exit_code)
        return exit_code

    def _executed(self, flow: Flow, spec: RunSpec) -> Outcome:
        try:
            parameters = flow.bind(spec.parameters)
            with parameters_exported(parameters):
                finished = flow.execute(parameters, context=_context(spec, parameters), listener=TaskLog(self._log))
            return _outcome(finished)
        except ParameterError as exc:
            refused = BadSpec(str(exc))
            return Outcome(exit_code=refused.exit_code, error=refusal_report(refused))
        except WorkerError as exc:
            return Outcome(exit_code=exc.exit_code, error=refusal_report(exc))
        except (Exception, SystemExit) as exc:
            if isinstance(exc, Terminated):
                raise
            return Outcome(exit_code=ExitCode.FLOW_FAILED, error=error_report(exc))

    def _report(self, outcome: Outcome) -> int:
        """Write report and traceback; return the exit code, which is another one if the report cannot be written."""
        if self._storage is None:
            return outcome.exit_code
        try:
            if self._traces_uri and outcome.error:
                text = outcome.error.traceback or f"{outcome.error.type}: {outcome.error.message}\n"
                write_traceback(self._storage, text, self._traces_uri)
            if self._report_uri:
                write_report(self._storage, self._run_report(outcome), outcome, self._report_uri)
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


def identity_of(spec: RunSpec) -> Identity:
    """Return what a run's log lines carry."""
    return Identity(
        run_id=spec.run_id,
        attempt=spec.attempt,
        correlation_id=spec.correlation_id,
        org_id=spec.org_id,
        flow=spec.flow_name,
    )


@contextmanager
def parameters_exported(parameters: Mapping[str, Any]) -> Iterator[None]:
    """Have a run's parameters in the environment, for as long as it lasts."""
    with _restored():
        export_parameters(parameters, os.environ)
        yield


@contextmanager
def environment_of(spec: RunSpec) -> Iterator[None]:
    """Have the variables of the contract say who this run is, for as long as it lasts."""
    with _restored():
        own = {
            Env.RUN_ID: spec.run_id,
            Env.ATTEMPT: str(spec.attempt),
            Env.CORRELATION_ID: spec.correlation_id,
            Env.RESULT_URI: spec.result_uri,
        }
        if spec.shard is not None:
            own |= {Env.TASK_NUM: str(spec.shard), Env.TASK_NAME: f"dagy-{spec.batch_id}-{spec.shard}"}
        os.environ.update(own)
        yield


@contextmanager
def _restored() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


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
