"""Keeping to CloudWatch's quotas: calls at a pace below the smallest region's, and slower when it throttles."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from dagy_queue.errors import AwsThrottled, AwsUnavailable

T = TypeVar("T")

STREAM_CALLS, GROUP_CALLS = 5.0, 2.5
"""Calls of GetLogEvents and of FilterLogEvents a second: half of what the smallest regions have, as others read too."""
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 10.0
_TRIES = 8


class Pace:
    """Makes calls, one at a time."""

    def __init__(
        self,
        per_second: float,
        *,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._between = 1 / per_second
        self._now, self._pause = now, pause
        self._next = 0.0

    def call(self, function: Callable[[], T]) -> T:
        """Call a function when it is time; again, ever later, while it is throttled or gets no answer.

        Raises AwsThrottled or AwsUnavailable after eight tries, and what else the function raises.
        """
        delay = _FIRST_DELAY
        for _ in range(_TRIES - 1):
            try:
                return self._in_time(function)
            except (AwsThrottled, AwsUnavailable):
                self._pause(delay)
                delay = min(_LONGEST_DELAY, delay * 2)
        return self._in_time(function)

    def _in_time(self, function: Callable[[], T]) -> T:
        wait = self._next - self._now()
        if wait > 0:
            self._pause(wait)
        self._next = self._now() + self._between
        return function()
