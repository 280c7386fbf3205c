"""The dispatcher's Celery task of a run, ``dagy.launch``; those of batches are in ``dispatch/batch_tasks.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from celery import Celery, Task
from celery.exceptions import Ignore, Reject, Retry, TaskRevokedError
from celery.signals import task_postrun, task_revoked
from celery.states import FAILURE, REVOKED

from dagy_queue.dispatch import concluding, following, parking
from dagy_queue.dispatch.endings import crashed
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import LedgerError, RedisUnavailable, RequestInvalid, RunFailed, RunNotFound
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import RunStatus
from dagy_queue.messaging.names import ATTEMPT_HEADER, LAUNCH_TASK, RESUME_HEADER
from dagy_queue.messaging.states import parked_state
from dagy_queue.outcomes.final_words import failed_with, revoked
from dagy_queue.requests.templating import rendered

log = structlog.get_logger(__name__)

_OF_ONE_PASS = {ATTEMPT_HEADER, RESUME_HEADER}
_STATUS_OF_STATE = {"SUCCESS": RunStatus.SUCCEEDED, "FAILURE": RunStatus.FAILED}


class LaunchTask(Task):
    """Base of ``dagy.launch``: what Celery calls around the two passes."""

    abstract = True
    Request = "dagy_queue.dispatch.pass_request:PassRequest"
    throws = (RunFailed, RequestInvalid)
    """Expected ends of a run: logged in a line, without a traceback of ours."""
    services: Services

    def signature_from_request(self, request: Any = None, *args: Any, **options: Any) -> Any:
        """Return the continuation without what belongs to this pass alone: its attempt, eta and expiry.

        A run that came back after its ``expires`` would be dropped as expired although its container ran.
        """
        request = request or self.request
        signature = super().signature_from_request(request, *args, **options)
        signature.options.update(expires=None, eta=None, countdown=None)
        headers = {k: v for k, v in (signature.options.get("headers") or {}).items() if k not in _OF_ONE_PASS}
        signature.options["headers"] = headers
        return signature

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Begin the next attempt: after RETRY is stored, so that it cannot overwrite the attempt's own result."""
        retry = getattr(self.request, "dagy_retry", None)
        if retry is not None:
            parking.mark_parked(self)
            attempt_id = AttemptId(task_id, self.request.get(ATTEMPT_HEADER))
            try:
                begun = self.services.patiently(lambda: self.services.runs.retry(attempt_id, retry.delay, retry.again))
                if begun is None:
                    self.services.patiently(lambda: _store_end_again(self, task_id))
            except LedgerError as error:
                log.exception("retry_fails_in_ledger", run_id=task_id)
                self._fail(error)
            else:
                self.services.claims.done(self.request)

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Close the run in the ledger once its result is stored."""
        final = _STATUS_OF_STATE.get(status)
        if final is None:
            return
        skipped = getattr(self.request, "dagy_outcome", None)
        self.close(final, skipped if final is RunStatus.SUCCEEDED else failed_with(retval))

    def close(self, status: RunStatus, outcome: Mapping[str, Any] | None) -> None:
        """Close the run in the ledger, and send what follows.

        Where the ledger fails on it for good the run's result stands, and the log has the reason.
        """
        services, request = self.services, self.request
        attempt_id = AttemptId(request.id, request.get(ATTEMPT_HEADER) or 1)
        succeeded = status is RunStatus.SUCCEEDED
        sent = following.after_success(request) if succeeded else following.after_failure(services, request)
        key = _result_key(self)
        try:
            services.patiently(lambda: services.runs.finish(attempt_id, status, outcome, sent, key))
        except LedgerError:
            log.exception("run_not_closed", run_id=attempt_id.run_id, status=status.value)
            if sent:
                services.patiently(lambda: services.runs.send(sent))
        else:
            services.claims.done(request)

    def _fail(self, error: Exception) -> None:
        """End the run as failed instead of what Celery was told: its chord and error callbacks hear of it."""
        request = self.request
        self.backend.mark_as_failure(request.id, error, request=request, store_result=not request.ignore_result)
        self.close(RunStatus.FAILED, failed_with(error))


def register_launch(app: Celery, services: Services) -> None:
    """Add the task to the app of a dispatcher."""

    @app.task(base=LaunchTask, bind=True, shared=False, name=LAUNCH_TASK, acks_late=True, typing=False)
    def launch(self: LaunchTask, *upstream: Any, request: Any = None, receives: str | None = None) -> Any:
        """Run a flow or a container; see ``dispatch/parking.py`` and ``dispatch/concluding.py``."""
        if self.request.called_directly or self.request.is_eager:
            return _inline(app, upstream, {"request": request, "receives": receives})
        try:
            attempt = self.request.get(ATTEMPT_HEADER)
            if attempt is not None:
                return services.patiently(lambda: _conclude(services, self, attempt))
            whole = _with_upstream(_rendered(self, request), receives, upstream)
            services.patiently(lambda: _park(services, self, whole))
        except RunFailed as exc:
            raise exc.with_traceback(None) from None  # what it says is below it; our frames tell nobody anything
        except RedisUnavailable as exc:
            raise Reject(exc, requeue=True) from exc
        except LedgerError as exc:
            following.keep_error_callbacks(self.request)
            _end_half_done(self, exc)
            raise
        except concluding.RetryRun as exc:
            self.request.dagy_retry = exc
            raise Retry(str(exc), exc.error, exc.delay) from exc
        except concluding.Revoked as exc:
            _end_as_revoked(self, str(exc))
        # Raised here, not deeper: Celery formats the traceback of every Ignore, and each frame costs.
        raise Ignore

    launch.services = services
    launch.send_events = not services.settings.monitor.events  # they would tell of passes, the bridge tells of runs
    # Celery's worker drops a message that it was told to, before any task of ours.
    task_revoked.connect(_dropped, sender=launch, weak=False, dispatch_uid="dagy_queue.dropped")
    # Also of a pass that ends by an error outside of the task.
    task_postrun.connect(_ended, sender=launch, weak=False, dispatch_uid="dagy_queue.ended")


def _conclude(services: Services, task: LaunchTask, attempt: int) -> Any:
    """Conclude a run. What follows its end is sent when the ledger has that."""
    following.keep_error_callbacks(task.request)
    value = concluding.conclude(services, task, attempt)
    following.keep_links(services, task, value)
    return value


def _park(services: Services, task: LaunchTask, request: Any) -> None:
    """Park a run; what cannot be parked is ended by one first pass, however often its message comes."""
    try:
        parking.park(services, task, request)
    except RequestInvalid:
        if services.claims.take_first(task.request):
            following.keep_error_callbacks(task.request)
            raise


def _rendered(task: Task, request: Any) -> Any:
    """Fill in a request's templates, before another task's result joins it: that is data."""
    return rendered(request, run_id=task.request.id or "") if isinstance(request, dict) else request


def _with_upstream(request: Any, receives: str | None, upstream: tuple[Any, ...]) -> Any:
    """Put the result of the task before this one in a chain into the parameter that asked for it."""
    if not receives or not upstream or not isinstance(request, dict):
        return request or {}
    given = request.get("parameters") or {}
    if not isinstance(given, dict):
        return request  # validation says what is wrong with it
    return {**request, "parameters": {**given, receives: upstream[0]}}


def _inline(app: Celery, upstream: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A direct call has no message to park: launch as a run of its own and wait for it."""
    return app.send_task(LAUNCH_TASK, args=upstream, kwargs=kwargs).get(disable_sync_subtasks=False)


def _end_half_done(task: LaunchTask, error: LedgerError) -> None:
    """End an attempt on which a script failed, wherever that left it; the run fails with the error then."""
    attempt_id = AttemptId(task.request.id, task.request.get(ATTEMPT_HEADER) or 1)
    try:
        task.services.patiently(lambda: task.services.runs.complete(attempt_id, {"outcome": crashed(error).to_dict()}))
    except (LedgerError, RedisUnavailable):
        log.exception("attempt_not_ended", run_id=attempt_id.run_id)


def _store_end_again(task: LaunchTask, run_id: str) -> None:
    """Store the end of a run again that another pass concluded while this one was frozen, and then noted a retry."""
    try:
        entry = task.services.runs.get(run_id)
    except RunNotFound:
        return
    outcome = (entry.completion or {}).get("outcome") or {}
    summary = str(outcome.get("summary", ""))
    if task.request.ignore_result or not entry.status.ended_badly:
        return  # Celery's backend lets nothing overwrite a success
    with task.services.redis.errors():
        if entry.status is RunStatus.FAILED:
            task.backend.store_result(run_id, RunFailed(summary, outcome), FAILURE)
        else:
            task.backend.store_result(run_id, TaskRevokedError(summary), REVOKED)


def _end_as_revoked(task: LaunchTask, reason: str) -> None:
    """End a run as Celery's worker ends a revoked task (state, chord, event, signal), and tell who waits for it."""
    request = task.request
    _tell_revoked(task, request, reason)
    if task.send_events:
        task.send_event("task-revoked", terminated=True, signum=None, expired=False)
    task_revoked.send(sender=task, request=request, terminated=True, signum=None, expired=False)
    task.close(RunStatus.CANCELLED, revoked(reason))


def _tell_revoked(task: LaunchTask, request: Any, reason: str) -> None:
    """Store that a run is revoked, and tell its chord, the rest of its chain and its error callbacks.

    Celery's own ``mark_as_revoked`` forgets the last two, so that a chord with a chain in it waits without end.
    """
    is_kept = not request.ignore_result
    task.backend.mark_as_failure(
        request.id, TaskRevokedError(reason), request=request, store_result=is_kept, state=REVOKED
    )


def _ended(*, task: LaunchTask, **_: Any) -> None:
    """Let others conclude a run that this pass had, and did not."""
    task.services.claims.let_go(task.request)


def _dropped(*, sender: LaunchTask, request: Any, terminated: bool = False, **_: Any) -> None:
    """Close a run in the ledger whose message was dropped before its first pass. Our own revocations close theirs."""
    if terminated:
        return
    reason = REVOKED.lower()
    try:
        if sender.services.runs.finish(AttemptId(request.id, 1), RunStatus.CANCELLED, revoked(reason)):
            with sender.services.redis.errors():
                _tell_revoked(sender, request, reason)
    except RedisUnavailable as exc:
        # The reconciler sends the message again, and it is dropped again.
        log.warning("dropped_not_noted", run_id=request.id, error=str(exc))
    except LedgerError:
        log.exception("run_not_closed", run_id=request.id)


def _result_key(task: LaunchTask) -> str:
    """Return where the ledger's Redis has a run's result; '' if it is not there."""
    if task.request.ignore_result or task.services.settings.redis.result_url:
        return ""
    return parked_state(task.backend, task.request.id).key
