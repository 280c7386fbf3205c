"""Calls that fail: how long to wait before the next one, and telling of it once, not each time.

Each consumer has a :class:`Backoff` for each of its calls; all threads of a bridge share one :class:`Troubles`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from enum import StrEnum

import structlog

from dagy_queue.bridge.metrics import BridgeMetrics
from dagy_queue.errors import AwsError, RedisUnavailable

log = structlog.get_logger(__name__)

_FIRST = 0.5
_MOST_DOUBLINGS = 16


class Call(StrEnum):
    """What the bridge calls, each failing and recovering by itself."""

    RECEIVE = "receive"
    APPLY = "apply"
    DELETE = "delete"
    EXTEND = "extend"
    QUARANTINE = "quarantine"
    TURN = "turn"
    """None of the others: a defect of ours."""


class Backoff:
    """Growing delays with full jitter: anything between nothing and a limit that doubles with every failure."""

    def __init__(self, longest: float, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._longest = longest
        self._jitter = jitter
        self._failures = 0

    def next(self) -> float:
        """Return the seconds to wait after one more failure."""
        limit = min(self._longest, _FIRST * 2 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        return self._jitter(0.0, limit)

    def reset(self) -> None:
        """Begin anew: the call has worked."""
        self._failures = 0


class Troubles:
    """What fails at present. A failure is logged when it begins or changes its kind, and when it is over."""

    def __init__(self, metrics: BridgeMetrics) -> None:
        self._metrics = metrics
        self._failing: dict[Call, str] = {}
        self._lock = threading.Lock()

    @property
    def failing(self) -> dict[str, str]:
        """The calls that fail now, each with the kind of its failure."""
        with self._lock:
            return {call.value: kind for call, kind in self._failing.items()}

    def failed(self, call: Call, error: Exception) -> None:
        """Note a failure."""
        self._metrics.failed(call)
        kind = getattr(error, "code", "") or type(error).__name__
        with self._lock:
            is_news = self._failing.get(call) != kind
            self._failing[call] = kind
        if is_news:
            known = isinstance(error, AwsError | RedisUnavailable)
            log.warning("bridge_call_failed", call=call.value, error=str(error), exc_info=None if known else error)

    def worked(self, call: Call) -> None:
        """Note a success."""
        if call not in self._failing:
            return
        with self._lock:
            was_failing = self._failing.pop(call, None)
        if was_failing:
            log.info("bridge_call_works_again", call=call.value)
