"""How quickly runs are launched and end, over the last seconds, and when the last one will have ended; pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from dagy_queue.operate.following.sight import Sight

_WINDOW = 30.0
_SHORTEST = 2.0
"""Seconds that must have passed before a rate means anything."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    launched: int
    done: int


class Pace:
    """Rates over a window that moves along."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._left = 0

    def note(self, sight: Sight, now: float) -> None:
        """Take a look into account."""
        self._samples.append(_Sample(now, sight.launched, sight.done))
        self._left = sight.total - sight.done if sight.is_counted else 0
        while len(self._samples) > 2 and now - self._samples[1].at >= _WINDOW:
            self._samples.popleft()

    @property
    def launches(self) -> float | None:
        """Launches a second; None while that cannot be told."""
        return self._rate("launched")

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all have ended, if they go on as in the last seconds; None while that cannot be told."""
        ends = self._rate("done")
        return self._left / ends if ends and self._left else None

    def _rate(self, name: str) -> float | None:
        first, last = (self._samples[0], self._samples[-1]) if self._samples else (None, None)
        if first is None or last is None or last.at - first.at < _SHORTEST:
            return None
        more: int = getattr(last, name) - getattr(first, name)
        return max(0.0, more / (last.at - first.at))
