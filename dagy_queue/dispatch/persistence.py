"""Telling the ledger what must not be lost: again while Redis is away. Second passes close their runs with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from dagy_queue.errors import RedisUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


def persistently(tell: Callable[[], T], seconds: float = 60.0, sleep: Callable[[float], None] = time.sleep) -> T:
    """Do something with Redis; repeat it for ``seconds`` while Redis is away. Raises RedisUnavailable after that."""
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while True:
        try:
            return tell()
        except RedisUnavailable as exc:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("redis_away", error=str(exc), again_in=pause)
            sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
