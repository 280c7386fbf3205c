"""Waiting for a Celery result, with our errors; shared by run and batch handles."""

from __future__ import annotations

from typing import Any

from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult

from dagy_queue.errors import ResultTimeout, RunCancelled
from dagy_queue.ledger.errors import mapped


def wait_for(result: AsyncResult, what: str, timeout: float | None, redis_url: str) -> Any:
    """Return the value of a result, or raise its error.

    Raises ResultTimeout, RunCancelled, RedisUnavailable, or what the task raised (RunFailed for a run).
    """
    with mapped(redis_url):
        try:
            # Without follow_parents=False every parent is polled as well, slowly (celery.md, rule on chord results).
            return result.get(timeout=timeout, follow_parents=False, disable_sync_subtasks=False)
        except CeleryTimeoutError as exc:
            raise ResultTimeout(
                f"{what} did not end within {timeout:g} seconds; it goes on, and can be waited for again"
            ) from exc
        except TaskRevokedError as exc:
            raise RunCancelled(f"{what} was cancelled: {exc}") from exc
