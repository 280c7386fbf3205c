"""Looking at a Celery result and waiting for it, with our errors; shared by run and batch handles."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from dagy_queue.errors import ResultTimeout, RunCancelled
from dagy_queue.ledger.errors import mapped

_SHORTEST = 0.001
"""Seconds: to Celery none at all mean without end."""


@contextmanager
def reading(result: AsyncResult) -> Iterator[None]:
    """Map the errors of the Redis that keeps results, which may be another than the ledger's."""
    with mapped(str(result.app.conf.result_backend)):
        yield


def wait_for(result: AsyncResult, what: str, timeout: float | None, since: float | None = None) -> Any:
    """Return the value of a result, or raise its error. ``timeout`` counts from ``since`` (monotonic), or from now.

    Raises ResultTimeout, RunCancelled, RedisUnavailable, or what the task raised (RunFailed for a run).
    """
    _wait(result, what, timeout, time.monotonic() if since is None else since)
    try:
        result.maybe_throw()
    except TaskRevokedError as exc:
        raise RunCancelled(f"{what} was cancelled: {exc}") from exc
    return result.result


def _wait(result: AsyncResult, what: str, timeout: float | None, since: float) -> None:
    """Wait until there is a result, whatever it is: errors raised here are of the waiting, not of the task."""
    left = None if timeout is None else max(_SHORTEST, since + timeout - time.monotonic())
    with reading(result):
        try:
            # With follow_parents, Celery polls every parent as well, which slows a chord down.
            result.get(timeout=left, propagate=False, follow_parents=False, disable_sync_subtasks=False)
        except CeleryTimeoutError as exc:
            # Celery goes on listening for it, and keeps the result object, until the process ends.
            result.backend.remove_pending_result(result)
            raise ResultTimeout(
                f"{what} did not end within {timeout:g} seconds; it goes on, and can be waited for again"
            ) from exc
        except RuntimeError as exc:
            # Celery's result consumer raises a bare RuntimeError when it has given up on Redis.
            raise OperationalError(str(exc).strip().splitlines()[0]) from exc
