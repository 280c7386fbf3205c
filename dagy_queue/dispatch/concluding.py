"""The second pass of a launch: the completion of its run becomes a Celery result, an error or another attempt.

``dispatch/tasks.py`` calls :func:`conclude` for a message with an attempt header. The first pass is in
``dispatch/parking.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from celery import Task
from celery.exceptions import Ignore

from dagy.contract import ContractError, ErrorReport, ExitCode, ReportStatus, RunReport
from dagy_queue.dispatch.endings import not_started, timed_out
from dagy_queue.dispatch.next_attempt import changed_request, growth_limits, next_attempt
from dagy_queue.dispatch.parking import Revoked
from dagy_queue.dispatch.retries import is_skipped, plan_retry
from dagy_queue.dispatch.services import Services
from dagy_queue.dispatch.verdicts import without_another
from dagy_queue.errors import AwsError, AwsRefused, RunFailed
from dagy_queue.launching.storage import ObjectStore, report_uri
from dagy_queue.ledger.attempts import NextAttempt, StoppedRun
from dagy_queue.messaging.names import RESUME_HEADER
from dagy_queue.outcomes import Kind, Outcome, explain_worker_exit
from dagy_queue.requests import ContainerRequest, LaunchRequest

_TRACEBACK_TAIL = 4000
_POSTPONE_SECONDS = 5.0
_MOST_POSTPONEMENTS = 100


class RetryRun(Exception):
    """The run gets another attempt after ``delay`` seconds, because of ``error``."""

    def __init__(self, error: RunFailed, delay: float, again: NextAttempt) -> None:
        super().__init__(str(error))
        self.error = error
        self.delay = delay
        self.again = again


def conclude(services: Services, task: Task, attempt: int) -> Any:
    """Second pass: return the run's result, or that it was skipped.

    Raises RunFailed, Revoked, RetryRun, or Ignore where there is nothing (more) to conclude.
    """
    stopped = services.runs.claim(task.request.id, task.request.get(RESUME_HEADER))
    if stopped is None or stopped.attempt_id.attempt != attempt:
        raise Ignore
    asked = services.requests.read(stopped.attempt_id.run_id, stopped.request, stopped.batch_id, stopped.shard)
    request = changed_request(services.settings, asked, stopped.change)
    outcome, report = _how_it_ended(services, stopped, request)
    if outcome.succeeded:
        return _result(services, stopped, request, outcome, report)
    if stopped.cancel_reason or (outcome.kind is Kind.CANCELLED and not stopped.is_late):
        raise Revoked(stopped.cancel_reason or outcome.summary)
    if stopped.is_late and not stopped.never_started:
        raise _failure(timed_out(outcome, request.timeout), None)
    if stopped.never_started:
        outcome = not_started(outcome)
    elif isinstance(request, LaunchRequest):
        outcome = explain_worker_exit(outcome)
    if is_skipped(request, outcome):
        return _skip(task, stopped, request, outcome)
    failure = _failure(outcome, report)
    retry = plan_retry(request, outcome, stopped.counts, growth_limits(services.settings))
    if retry is not None:
        again = next_attempt(services.settings, request, stopped, retry, failure.outcome)
        raise RetryRun(failure, retry.delay, again)
    raise _failure(without_another(request, outcome, stopped.counts), report)


def _how_it_ended(
    services: Services, stopped: StoppedRun, request: LaunchRequest | ContainerRequest
) -> tuple[Outcome, RunReport | None]:
    """Return the outcome of this run, which is not its container's alone: the worker's report counts as well."""
    outcome = Outcome.from_dict(stopped.completion["outcome"])
    by_itself = outcome.kind in (Kind.FAILED, Kind.LOST) and not stopped.cancel_reason  # not stopped from outside
    if isinstance(request, ContainerRequest) or not (outcome.succeeded or by_itself or stopped.shared_container):
        return outcome, None
    report = _report(services, stopped, request, outcome)
    if report is not None and (stopped.shared_container or outcome.kind is Kind.LOST):
        kind, code = (Kind.FAILED, ExitCode.FLOW_FAILED) if report.error else (Kind.SUCCEEDED, ExitCode.OK)
        outcome = replace(outcome, kind=kind, exit_code=code)
    elif outcome.succeeded and (report is None or report.error is not None):
        outcome = _without_report(outcome, report)
    return outcome, report


def _result(
    services: Services,
    stopped: StoppedRun,
    request: LaunchRequest | ContainerRequest,
    outcome: Outcome,
    report: RunReport | None,
) -> Any:
    if isinstance(request, ContainerRequest) or report is None:
        return _container_result(stopped, request, outcome)
    return _by_value(services, stopped, report)


def _skip(
    task: Task, stopped: StoppedRun, request: LaunchRequest | ContainerRequest, outcome: Outcome
) -> dict[str, Any]:
    """Return the result of a run that ends as skipped, and have the ledger told why."""
    summary = f"skipped: the container exited with {outcome.exit_code}, which skip_on_exit_code names"
    task.request.dagy_outcome = replace(outcome, kind=Kind.SUCCEEDED, summary=summary, resolution="").to_dict()
    return {"skipped": True, **_container_result(stopped, request, outcome)}


def _report(
    services: Services, stopped: StoppedRun, request: LaunchRequest | ContainerRequest, outcome: Outcome
) -> RunReport | None:
    may_have_left_one = outcome.exit_code is not None or outcome.kind is Kind.LOST or stopped.shared_container
    if isinstance(request, ContainerRequest) or not may_have_left_one:
        return None
    uri = report_uri(services.settings.storage, request.org_id, stopped.attempt_id)
    if not uri:
        return None
    try:
        return ObjectStore(services.aws.s3).report(uri)
    except AwsRefused as exc:
        return _unreadable(stopped, str(exc))
    except AwsError as exc:
        _postpone(services, stopped, exc)
        return _unreadable(stopped, str(exc))
    except ContractError as exc:
        return _unreadable(stopped, str(exc))


def _by_value(services: Services, stopped: StoppedRun, report: RunReport) -> Any:
    try:
        return ObjectStore(services.aws.s3).result(report)
    except AwsError as exc:
        _postpone(services, stopped, exc)
        raise RunFailed(f"the run succeeded but its result cannot be read: {exc}", {"kind": Kind.FAILED.value}) from exc
    except ContractError as exc:
        raise RunFailed(f"the run succeeded but its result cannot be read: {exc}", {"kind": Kind.FAILED.value}) from exc


def _postpone(services: Services, stopped: StoppedRun, error: AwsError) -> None:
    """Come back later when S3 is merely out of reach: the run's result must not be lost for that."""
    if isinstance(error, AwsRefused):
        return
    if services.runs.postpone(stopped.attempt_id, _POSTPONE_SECONDS, _MOST_POSTPONEMENTS):
        raise Ignore from error


def _unreadable(stopped: StoppedRun, why: str) -> RunReport:
    return RunReport(
        run_id=stopped.attempt_id.run_id,
        attempt=stopped.attempt_id.attempt,
        status=ReportStatus.FAILED,
        error=ErrorReport(type="ReportUnreadable", message=f"the worker's report cannot be read: {why}"),
    )


def _without_report(outcome: Outcome, report: RunReport | None) -> Outcome:
    if report is not None and report.error is not None:
        summary = report.error.message
    else:
        summary = "the container exited with 0 without writing its report"
    return Outcome(
        kind=Kind.FAILED,
        summary=summary,
        detail="a flow's process must end by returning: os._exit() and a foreign entrypoint leave no report",
        resolution="read the run's log; for an image without Dagy, launch it as a container",
        exit_code=outcome.exit_code,
        task_arn=outcome.task_arn,
        cpu=outcome.cpu,
        memory=outcome.memory,
    )


def _failure(outcome: Outcome, report: RunReport | None) -> RunFailed:
    if report is not None and report.error is not None:
        error = report.error
        where = f" in task {error.task!r}" if error.task else ""
        outcome = outcome.with_detail(
            f"{error.type}{where}: {error.message}", error.traceback[-_TRACEBACK_TAIL:] or outcome.detail
        )
    return RunFailed(outcome.summary, outcome.to_dict())


def _container_result(
    stopped: StoppedRun, request: LaunchRequest | ContainerRequest, outcome: Outcome
) -> dict[str, Any]:
    return {
        "run_id": stopped.attempt_id.run_id,
        "correlation_id": request.correlation_id,
        "exit_code": outcome.exit_code,
        "task_arn": outcome.task_arn,
    }
