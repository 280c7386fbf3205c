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
from dagy_queue.aws.refusals import will_stay
from dagy_queue.dispatch.endings import not_started, timed_out
from dagy_queue.dispatch.next_attempt import changed_request, growth_limits, next_attempt
from dagy_queue.dispatch.outages import FIRST_WAIT, LONGEST_WAIT, MOST_WAITS
from dagy_queue.dispatch.retries import is_skipped, plan_retry
from dagy_queue.dispatch.services import Services
from dagy_queue.dispatch.verdicts import without_another
from dagy_queue.errors import AwsError, RunFailed
from dagy_queue.launching.storage import ObjectStore, report_uri
from dagy_queue.ledger.attempts import NextAttempt, StoppedRun
from dagy_queue.messaging.names import RESUME_HEADER
from dagy_queue.outcomes import Kind, Outcome, explain_worker_exit
from dagy_queue.outcomes.final_words import skipped
from dagy_queue.outcomes.worker_reports import in_words_of, with_error, without_success
from dagy_queue.requests import ContainerRequest, LaunchRequest


class Revoked(Exception):
    """The run ends as revoked, for the reason given."""


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
    stopped = services.claims.take(task.request, task.request.get(RESUME_HEADER))
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
        raise _last_failure(services, stopped, request, timed_out(outcome, request.timeout), None)
    if stopped.never_started:
        outcome = not_started(outcome)
    elif isinstance(request, LaunchRequest):
        outcome = explain_worker_exit(outcome)
    request = _with_policy(services, stopped, request)
    if is_skipped(request, outcome):
        return _skip(task, stopped, request, outcome)
    failure = _failure(outcome, report)
    retry = plan_retry(request, outcome, stopped.counts, growth_limits(services.settings))
    if retry is not None:
        again = next_attempt(services.settings, request, stopped, retry, failure.outcome)
        raise RetryRun(failure, retry.delay, again)
    raise _last_failure(services, stopped, request, without_another(request, outcome, stopped.counts), report)


def _with_policy(
    services: Services, stopped: StoppedRun, request: LaunchRequest | ContainerRequest
) -> LaunchRequest | ContainerRequest:
    """Return the request over its deployment's retry policy; its own counts where that cannot be read for long."""
    try:
        return services.policies.under(request)
    except AwsError as exc:
        _postpone(services, stopped, exc)
        return request


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
        outcome = without_success(outcome, report)
    if report is not None and report.error is not None:
        outcome = with_error(outcome, report.error)
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
    task.request.dagy_outcome = skipped(outcome)
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
    """Come back later when AWS is merely out of reach, or does not take our credentials for now.

    The run's result must not be lost for that.
    """
    if will_stay(error):
        return
    if services.runs.postpone(stopped.attempt_id, FIRST_WAIT, MOST_WAITS, LONGEST_WAIT):
        raise Ignore from error


def _unreadable(stopped: StoppedRun, why: str) -> RunReport:
    return RunReport(
        run_id=stopped.attempt_id.run_id,
        attempt=stopped.attempt_id.attempt,
        status=ReportStatus.FAILED,
        error=ErrorReport(type="ReportUnreadable", message=f"the worker's report cannot be read: {why}"),
    )


def _failure(outcome: Outcome, report: RunReport | None) -> RunFailed:
    told = in_words_of(report, outcome)
    return RunFailed(told.summary, told.to_dict())


def _last_failure(
    services: Services,
    stopped: StoppedRun,
    request: LaunchRequest | ContainerRequest,
    outcome: Outcome,
    report: RunReport | None,
) -> RunFailed:
    """Return the error that ends a run, with what helps to find out why: the end of its log, and all its tasks."""
    attempt_id, task = stopped.attempt_id, outcome.task_arn
    evident = replace(
        outcome,
        log_lines=services.failure_logs.last_lines(attempt_id.run_id, request, task),
        task_arns={**stopped.earlier_tasks, **({str(attempt_id.attempt): task} if task else {})},
    )
    return _failure(evident, report)


def _container_result(
    stopped: StoppedRun, request: LaunchRequest | ContainerRequest, outcome: Outcome
) -> dict[str, Any]:
    return {
        "run_id": stopped.attempt_id.run_id,
        "correlation_id": request.correlation_id,
        "exit_code": outcome.exit_code,
        "task_arn": outcome.task_arn,
    }
