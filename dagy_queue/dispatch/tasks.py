"""The dispatcher's Celery task of a run, ``dagy.launch``; those of batches are in ``dispatch/batch_tasks.py``."""

from __future__ import annotations

from typing import Any

import structlog
from celery import Celery, Task
from celery.exceptions import Ignore, Reject, Retry
from celery.signals import task_revoked

from dagy_queue.dispatch import concluding, parking
from dagy_queue.dispatch.endings import expired_in_queue
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import RedisUnavailable, RequestInvalid, RunFailed
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import RunStatus
from dagy_queue.messaging.names import ATTEMPT_HEADER, LAUNCH_TASK, RESUME_HEADER
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.requests.templating import rendered

log = structlog.get_logger(__name__)

_OF_ONE_PASS = {ATTEMPT_HEADER, RESUME_HEADER}
_STATUS_OF_STATE = {"SUCCESS": RunStatus.SUCCEEDED, "FAILURE": RunStatus.FAILED}


class LaunchTask(Task):
    """Base of ``dagy.launch``: what Celery calls around the two passes."""

    abstract = True
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
            self.services.patiently(lambda: self.services.runs.retry(attempt_id, retry.delay, retry.again))

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Close the run in the ledger once its result is stored."""
        final = _STATUS_OF_STATE.get(status)
        if final is None:
            return
        attempt = self.request.get(ATTEMPT_HEADER)
        skipped = getattr(self.request, "dagy_outcome", None)
        outcome = skipped if final is RunStatus.SUCCEEDED else _outcome_of(retval)
        self.services.patiently(lambda: self.services.runs.finish(AttemptId(task_id, attempt or 1), final, outcome))


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
                return services.patiently(lambda: concluding.conclude(services, self, attempt))
            whole = _with_upstream(_rendered(self, request), receives, upstream)
            services.patiently(lambda: parking.park(services, self, whole))
        except RedisUnavailable as exc:
            raise Reject(exc, requeue=True) from exc
        except concluding.RetryRun as exc:
            self.request.dagy_retry = exc
            raise Retry(str(exc), exc.error, exc.delay) from exc
        except parking.Revoked as exc:
            _end_as_revoked(self, str(exc))
        # Raised here, not deeper: Celery formats the traceback of every Ignore, and each frame costs.
        raise Ignore

    launch.services = services
    # Celery's worker drops a message whose `expires` has passed, or one that it was told to, before any task of ours.
    task_revoked.connect(_dropped, sender=launch, weak=False, dispatch_uid="dagy_queue.dropped")


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


def _end_as_revoked(task: LaunchTask, reason: str) -> None:
    """End a run as Celery's worker ends a revoked task: state, chord, event, signal."""
    request = task.request
    task.backend.mark_as_revoked(request.id, reason=reason, request=request, store_result=not request.ignore_result)
    task.send_event("task-revoked", terminated=True, signum=None, expired=False)
    task_revoked.send(sender=task, request=request, terminated=True, signum=None, expired=False)
    outcome = Outcome(kind=Kind.CANCELLED, summary=reason).to_dict()
    attempt_id = AttemptId(request.id, request.get(ATTEMPT_HEADER) or 1)
    task.services.patiently(lambda: task.services.runs.finish(attempt_id, RunStatus.CANCELLED, outcome))


def _dropped(*, sender: LaunchTask, request: Any, expired: bool = False, terminated: bool = False, **_: Any) -> None:
    """Close a run in the ledger whose message was dropped before its first pass. Our own revocations close theirs."""
    if terminated:
        return
    outcome = expired_in_queue() if expired else Outcome(kind=Kind.CANCELLED, summary="revoked")
    try:
        sender.services.runs.finish(AttemptId(request.id, 1), RunStatus.CANCELLED, outcome.to_dict())
    except RedisUnavailable as exc:
        # The reconciler sends the message again, and it is dropped again.
        log.warning("dropped_not_noted", run_id=request.id, error=str(exc))


def _outcome_of(error: Any) -> dict[str, Any]:
    if isinstance(error, RunFailed) and error.outcome:
        return error.outcome
    resolution = "mend the request and launch again" if isinstance(error, RequestInvalid) else ""
    return Outcome(kind=Kind.FAILED, summary=str(error), resolution=resolution).to_dict()
