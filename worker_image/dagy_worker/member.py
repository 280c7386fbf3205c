"""One run inside the flow's process: executing its flow and saying how it ended. ``flow_process.py`` has them in turn.

A container usually has one; shards of a batch may share a container, and each is reported on its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dagy.context import RunContext
from dagy.contract import Env, ExitCode, RunSpec
from dagy.environment import environment_restored, parameters_exported
from dagy.errors import ParameterError, Terminated
from dagy.flows import Flow
from dagy.states import FlowRun
from dagy_worker.error_reports import error_report, refusal_report
from dagy_worker.errors import BadSpec, ResultNotJson, WorkerError
from dagy_worker.report import Outcome, encode_result
from dagy_worker.tasklog import TaskLog


def execute(flow: Flow, spec: RunSpec, listener: TaskLog) -> Outcome:
    """Execute the flow for a run; return how it ended, whatever it did. Raises Terminated."""
    with environment_of(spec), parameters_exported(spec.parameters):
        try:
            parameters = flow.bind(spec.parameters)
            with parameters_exported(parameters):
                return _outcome(flow.execute(parameters, context=_context(spec, parameters), listener=listener))
        except ParameterError as exc:
            refused = BadSpec(str(exc))
            return Outcome(exit_code=refused.exit_code, error=refusal_report(refused))
        except WorkerError as exc:
            return Outcome(exit_code=exc.exit_code, error=refusal_report(exc))
        except Terminated:
            raise
        except BaseException as exc:  # noqa: BLE001 - a flow may raise anything, also KeyboardInterrupt
            task = listener.task
            listener.broken_off(exc)
            return Outcome(exit_code=ExitCode.FLOW_FAILED, error=error_report(exc, task), tasks=dict(listener.states))


@contextmanager
def environment_of(spec: RunSpec) -> Iterator[None]:
    """Have the variables of the contract say who this run is, for as long as it lasts."""
    with environment_restored():
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
