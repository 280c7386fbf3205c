"""Launches one granted attempt: resolves what it needs, calls RunTask once, and tells the ledger what came of it.

The pump's threads call :meth:`Launcher.launch`. It never raises: whatever happens ends in the ledger, as a task ARN, a
run that is held again, or a run that failed with a diagnosis.
"""

from __future__ import annotations

import time

import structlog

from dagy_queue.aws.refusals import is_about_credentials
from dagy_queue.dispatch.endings import cancelled, crashed, expired, gave_up, no_more_tries, refused, timed_out
from dagy_queue.dispatch.metrics import DispatchMetrics
from dagy_queue.dispatch.next_attempt import changed_request
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import (
    AwsError,
    AwsThrottled,
    AwsUnavailable,
    DagyQueueError,
    LedgerError,
    RedisUnavailable,
)
from dagy_queue.ids import AttemptId
from dagy_queue.launching.attempts import launch_attempt
from dagy_queue.launching.calls import RUN_TASK, stop_task
from dagy_queue.launching.definition_cache import LedgerCache
from dagy_queue.launching.planner import Plan, Planner
from dagy_queue.launching.refusals import Refusal, backoff, is_last_try, refusal_of
from dagy_queue.launching.specs import CrewShard
from dagy_queue.ledger import Grant, Released
from dagy_queue.ledger.admission import CrewMember, Noted
from dagy_queue.outcomes import Outcome
from dagy_queue.records.attributes import LATEST
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.requests import LaunchRequest
from dagy_queue.requests.shards import number_of

log = structlog.get_logger(__name__)

_STOP_TRIES = 4
_STOP_DELAY = 0.2


class Launcher:
    """Turns grants into ECS tasks."""

    def __init__(self, services: Services, metrics: DispatchMetrics | None = None) -> None:
        self._services = services
        self._metrics = metrics or DispatchMetrics()
        self._planner = Planner(services.settings, services.aws, LedgerCache(services.redis))

    def launch(self, grant: Grant) -> None:
        """Launch an attempt."""
        try:
            self._launch(grant)
        except RedisUnavailable as exc:
            # The lease runs out and the attempt is granted again, under the same client token.
            log.warning("launch_not_recorded", run_id=grant.attempt_id.run_id, error=str(exc))
        except Exception as exc:
            log.exception("launch_crashed", run_id=grant.attempt_id.run_id)
            self._end(grant.attempt_id, crashed(exc))

    def give_back(self, attempt_id: AttemptId, *, called: bool) -> None:
        """Give a granted run back, which this dispatcher does not launch, or whose launch hangs (``called``)."""
        try:
            released = self._services.admission.give_back(attempt_id, called=called)
        except (LedgerError, RedisUnavailable) as exc:
            # The lease runs out, as if the dispatcher had died.
            log.warning("run_not_given_back", run_id=attempt_id.run_id, error=str(exc))
            return
        log.info("given_back", run_id=attempt_id.run_id, attempt=attempt_id.attempt, released=released.value)
        if released is Released.CANCELLED:
            self._end(attempt_id, cancelled())
        elif released is Released.EXPIRED:
            self._end(attempt_id, timed_out())

    def stop_unwanted(self, task_arn: str, reason: str) -> None:
        """Ask ECS to stop a task. The ledger has that of a run stopped again until it has ended."""
        self._metrics.stopped()
        try:
            stop_task(self._services.aws, task_arn, f"dagy: {reason}")
        except AwsError as exc:
            log.warning("task_not_stopped", task_arn=task_arn, error=str(exc))
            self._note_not_stopped(task_arn)

    def _note_not_stopped(self, task_arn: str) -> None:
        try:
            self._services.admission.not_stopped(task_arn)
        except (LedgerError, RedisUnavailable) as exc:
            log.warning("not_noted_that_task_goes_on", task_arn=task_arn, error=str(exc))

    def _launch(self, grant: Grant) -> None:
        if grant.expired:
            self._end(grant.attempt_id, expired())
            return
        try:
            with self._metrics.launching():
                launched = launch_attempt(self._planner, self._services.aws, lambda: self._plan(grant))
        except DagyQueueError as exc:
            if isinstance(exc, RedisUnavailable | LedgerError):
                raise
            self._refused(grant, exc)
            return
        task_arn, flow = launched.task_arn, launched.plan.flow
        noted = self._services.admission.launched(
            grant.attempt_id,
            task_arn,
            launched.plan.cpu,
            flow_version=flow.version if flow else "",
            artifact_sha256=flow.artifact_sha256 if flow else "",
        )
        log.info("launched", run_id=grant.attempt_id.run_id, attempt=grant.attempt_id.attempt, task_arn=task_arn)
        if noted is Noted.STALE:
            self._stop_stale(grant.attempt_id, task_arn)

    def _stop_stale(self, attempt_id: AttemptId, task_arn: str) -> None:
        """Stop a task whose run is over: nothing in the ledger remembers it."""
        for tries in range(_STOP_TRIES):
            self._metrics.stopped()
            try:
                stop_task(self._services.aws, task_arn, "dagy: its run is over")
            except AwsError as exc:
                log.warning("task_not_stopped", run_id=attempt_id.run_id, task_arn=task_arn, error=str(exc))
                time.sleep(backoff(_STOP_DELAY, tries))
            else:
                return

    def _plan(self, grant: Grant) -> Plan:
        asked = self._services.requests.read(grant.attempt_id.run_id, grant.request, grant.batch_id, grant.shard)
        request = changed_request(self._services.settings, asked, grant.change)
        crew = [self._crew_shard(member, grant.batch_id) for member in grant.crew]
        number = None if grant.shard is None else number_of(grant.request, grant.shard)
        flow = self._flow(grant, request) if isinstance(request, LaunchRequest) else None
        return self._planner.plan(grant.attempt_id, request, grant.batch_id, number, crew, flow)

    def _flow(self, grant: Grant, request: LaunchRequest) -> RegisteredFlow:
        """Return the version of the flow that all attempts have: the first one settles what 'latest' means."""
        flow = self._planner.flow_of(request, grant.flow_version)
        if grant.flow_version or request.flow_version != LATEST:
            return flow
        settled = self._services.admission.pin(grant.attempt_id.run_id, flow.version)
        return flow if settled == flow.version else self._planner.flow_of(request, settled)

    def _crew_shard(self, member: CrewMember, batch_id: str) -> CrewShard:
        request = self._services.requests.read(member.attempt_id.run_id, member.request, batch_id, member.shard)
        return CrewShard(
            attempt_id=member.attempt_id,
            shard=number_of(member.request, member.shard),
            correlation_id=request.correlation_id,
            parameters=request.parameters if isinstance(request, LaunchRequest) else {},
        )

    def _refused(self, grant: Grant, error: DagyQueueError) -> None:
        refusal = _refusal_of(error)
        if refusal is Refusal.FINAL:
            self._end(grant.attempt_id, refused(error))
            return
        dispatch = self._services.settings.dispatch
        if is_last_try(refusal, grant.attempt_id.attempt, grant.retries, dispatch.max_run_task_attempts):
            self._end(grant.attempt_id, no_more_tries(error, dispatch.max_run_task_attempts))
            return
        released = self._services.admission.release(
            grant.attempt_id,
            delay=backoff(dispatch.throttle_delay, grant.refusals),
            new_attempt=refusal is Refusal.NEW_ATTEMPT,
            give_up_after=dispatch.start_timeout,
            reason=str(error),
            throttled=_lowers_rate(error),
            unanswered=isinstance(error, AwsUnavailable),
        )
        log.warning("launch_refused", run_id=grant.attempt_id.run_id, released=released.value, error=str(error))
        if released is Released.EXPIRED:
            self._end(grant.attempt_id, gave_up(error, dispatch.start_timeout))
        elif released is Released.CANCELLED:
            self._end(grant.attempt_id, cancelled())

    def _end(self, attempt_id: AttemptId, outcome: Outcome) -> None:
        try:
            self._services.runs.give_up(attempt_id, {"outcome": outcome.to_dict()})
        except RedisUnavailable as exc:
            log.warning("outcome_not_recorded", run_id=attempt_id.run_id, error=str(exc))
        except LedgerError:
            log.exception("run_not_ended", run_id=attempt_id.run_id)


def _lowers_rate(error: DagyQueueError) -> bool:
    """Tell whether AWS throttled RunTask: the calls before it have quotas of their own."""
    return isinstance(error, AwsThrottled) and error.operation == RUN_TASK


def _refusal_of(error: DagyQueueError) -> Refusal:
    """Say how a launch goes on; what AWS has against this dispatcher's credentials is no fault of the run's."""
    if is_about_credentials(error):
        return Refusal.SAME_ATTEMPT
    return refusal_of(error)
