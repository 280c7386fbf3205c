"""Outcomes of runs that never got a container; pure. The launcher gives them to the ledger."""

from __future__ import annotations

from dagy_queue.errors import AwsCapacity, DagyQueueError, RequestInvalid
from dagy_queue.outcomes import Kind, Outcome

_TOO_LATE = "the run did not end within its timeout"


def cancelled() -> Outcome:
    """Somebody cancelled the run in time."""
    return Outcome(kind=Kind.CANCELLED, summary="cancelled before it was launched")


def refused(error: DagyQueueError) -> Outcome:
    """The launch is wrong and would be refused again."""
    return Outcome(
        kind=Kind.START_FAILED,
        summary=f"the run could not be launched: {_reason(error)}",
        resolution="mend what the message names and launch again",
    )


def gave_up(error: DagyQueueError, after: float) -> Outcome:
    """AWS refused the launch for ``after`` seconds."""
    return Outcome(
        kind=Kind.CAPACITY if isinstance(error, AwsCapacity) else Kind.START_FAILED,
        summary=f"the run could not be launched within {after:g} seconds: {error}",
        resolution="launch again when AWS answers, or raise DAGY_QUEUE__DISPATCH__START_TIMEOUT",
    )


def no_more_tries(error: DagyQueueError, most: int | None) -> Outcome:
    """ECS had no room as often as ``dispatch.max_run_task_attempts`` allows."""
    return Outcome(
        kind=Kind.CAPACITY,
        summary=f"the run could not be launched in {most} tries: {error}",
        resolution="launch again when ECS has room, or raise DAGY_QUEUE__DISPATCH__MAX_RUN_TASK_ATTEMPTS",
    )


def timed_out(outcome: Outcome | None = None, seconds: float | None = None) -> Outcome:
    """The run's ``timeout``, of ``seconds``, is over; ``outcome`` is how its stopped container ended."""
    how = outcome.summary if outcome else "it waited for its next attempt"
    if outcome and how == _TOO_LATE:
        how = outcome.detail  # it had no container
    return Outcome(
        kind=Kind.TIMED_OUT,
        summary=_TOO_LATE if seconds is None else f"{_TOO_LATE} of {seconds:g} s",
        detail=how,
        resolution="launch it with a longer `timeout`, or find out from its log what took so long",
        exit_code=outcome.exit_code if outcome else None,
        task_arn=outcome.task_arn if outcome else "",
        cpu=outcome.cpu if outcome else None,
        memory=outcome.memory if outcome else None,
        no_retry="its timeout counts for all attempts together",
    )


def not_started(outcome: Outcome) -> Outcome:
    """The task was launched, but its container did not run within ``dispatch.start_timeout``."""
    return Outcome(
        kind=Kind.TIMED_OUT,
        summary="the task did not start within the start timeout",
        detail=outcome.detail or outcome.summary,
        resolution="look at the task's events in the ECS console; or raise DAGY_QUEUE__DISPATCH__START_TIMEOUT",
        task_arn=outcome.task_arn,
    )


def expired() -> Outcome:
    """Celery's ``expires`` passed in the admission queue."""
    return Outcome(
        kind=Kind.CANCELLED,
        summary="expired before it was launched",
        detail="the task's `expires` passed while it waited in the admission queue",
        resolution="give it longer, or find out why the queue is slow: `dagy-queue status`",
    )


def expired_in_queue() -> Outcome:
    """Celery's ``expires`` passed before a dispatcher took the message."""
    return Outcome(
        kind=Kind.CANCELLED,
        summary="expired before a dispatcher took it",
        detail="the task's `expires` passed while its message waited in the broker",
        resolution="give it longer, or start more dispatchers",
    )


def crashed(error: Exception) -> Outcome:
    """The dispatcher met an error it does not know."""
    return Outcome(
        kind=Kind.START_FAILED,
        summary=f"the dispatcher failed on this run: {type(error).__name__}: {error}",
        resolution="this is a defect of dagy_queue; the dispatcher's log has the traceback",
    )


def _reason(error: DagyQueueError) -> str:
    """Return what is wrong in one line: of a request its problems alone, without saying that there are some."""
    problems = error.problems if isinstance(error, RequestInvalid) else ()
    return "; ".join(map(str, problems)) or str(error)
