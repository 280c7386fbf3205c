"""Waiting for a Celery result, with our errors; shared by run and batch handles."""

from __future__ import annotations

from typing import Any

from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from dagy_queue.errors import ResultTimeout, RunCancelled
from dagy_queue.ledger.errors import mapped


def wait_for(result: AsyncResult, what: str, timeout: float | None, redis_url: str) -> Any:
    """Return the value of a result, or raise its error.

    Raises ResultTimeout, RunCancelled, RedisUnavailable, or what the task raised (RunFailed for a run).
    """
    _wait(result, what, timeout, redis_url)
    try:
        result.maybe_throw()
    except TaskRevokedError as exc:
        raise RunCancelled(f"{what} was cancelled: {exc}") from exc
    return result.result


def _wait(result: AsyncResult, what: str, timeout: float | None, redis_url: str) -> None:
    """Wait until there is a result, whatever it is: errors raised here are of the waiting, not of the task."""
    with mapped(redis_url):
        try:
            # With follow_parents, Celery polls every parent as well, which slows a chord down.
            result.get(timeout=timeout, propagate=False, follow_parents=False, disable_sync_subtasks=False)
        except CeleryTimeoutError as exc:
            # Celery goes on listening for it, and keeps the result object, until the process ends.
            result.backend.remove_pending_result(result)
            raise ResultTimeout(
                f"{what} did not end within {timeout:g} seconds; it goes on, and can be waited for again"
            ) from exc
        except RuntimeError as exc:
            # Celery's result consumer raises a bare RuntimeError when it has given up on Redis.
            raise OperationalError(str(exc).strip().splitlines()[0]) from exc
