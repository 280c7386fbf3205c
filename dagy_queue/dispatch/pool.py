"""The threads in which a dispatcher's Celery tasks run; ``dispatch/celery_settings.py`` has Celery use them.

Celery's own pool of threads forgets a task whose end cannot be told: where the result backend fails twice in a row,
the error ends in a future that nobody asks, the message is neither acknowledged nor rejected, and the worker takes one
message less at a time from then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import structlog
from billiard.einfo import ExceptionInfo
from celery.concurrency.thread import TaskPool
from celery.exceptions import Reject

log = structlog.get_logger(__name__)

_PAUSE = 1.0
"""Seconds before a message goes back: it would come again at once."""


class PassPool(TaskPool):
    """A pool of threads that hands back the message of a pass whose end could not be told."""

    def on_apply(self, *args: Any, error_callback: Callable[[Any], None] | None = None, **options: Any) -> Any:
        """Run a task in a thread."""
        result = super().on_apply(*args, **options)
        if error_callback:
            result.f.add_done_callback(partial(_hand_back, error_callback))
        return result


def _hand_back(error_callback: Callable[[Any], None], future: Future[Any]) -> None:
    """Have Celery reject a message, to be delivered again, if its task raised outside of its own body."""
    if future.cancelled() or (error := future.exception()) is None:
        return
    log.error("pass_not_told", error=repr(error), exc_info=error)
    time.sleep(_PAUSE)
    try:
        raise Reject(error, requeue=True)  # noqa: TRY301 - ExceptionInfo takes it from the stack
    except Reject:
        error_callback(ExceptionInfo())
