"""Whether and when a run that ended badly gets another attempt; pure."""

from __future__ import annotations

import random

from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.requests import ContainerRequest, LaunchRequest

_RETRIED = frozenset({Kind.FAILED, Kind.OUT_OF_MEMORY, Kind.TIMED_OUT, Kind.LOST})
_LONGEST_DELAY = 3600.0


def retry_delay(request: LaunchRequest | ContainerRequest, outcome: Outcome, retries: int) -> float | None:
    """Return the seconds to wait before the next attempt; None if there is none."""
    if outcome.kind not in _RETRIED or retries >= request.max_retries:
        return None
    ceiling = min(_LONGEST_DELAY, request.retry_delay * 2**retries)
    return random.uniform(ceiling / 2, ceiling)
