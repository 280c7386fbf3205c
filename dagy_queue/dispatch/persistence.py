"""Telling the ledger what must not be lost: again while Redis is away, or full. All passes of a dispatcher use it.

A pass that waits keeps its message: handing it back needs Redis as well, and would lose what the pass knows already.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from dagy_queue.errors import RedisUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


def persistently(
    tell: Callable[[], T],
    seconds: float = 60.0,
    sleep: Callable[[float], object] = time.sleep,
    is_over: Callable[[], bool] = lambda: False,
) -> T:
    """Do something with Redis; repeat it for ``seconds`` while Redis is away, or until ``is_over``.

    Raises RedisUnavailable after that.
    """
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while True:
        try:
            return tell()
        except RedisUnavailable as exc:
            if is_over() or time.monotonic() + pause > deadline:
                raise
            log.warning("redis_away", error=str(exc), again_in=pause)
            sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)


class Patience:
    """What a dispatcher's passes have while Redis is away: all of it, until the dispatcher stops."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def __call__(self, tell: Callable[[], T]) -> T:
        """Do something with Redis, as often as it takes. Raises RedisUnavailable once :meth:`end` was called."""
        return persistently(tell, math.inf, self._stopping.wait, self._stopping.is_set)

    def end(self) -> None:
        """Let those who wait give up: the dispatcher stops."""
        self._stopping.set()
