"""What to do with a launch that did not happen; pure."""

from __future__ import annotations

import random
from enum import Enum

from dagy_queue.errors import AwsCapacity, AwsThrottled, AwsUnavailable, DagyQueueError

_LONGEST_DELAY = 60.0
_MAX_DOUBLINGS = 10


class Refusal(Enum):
    """How a launch goes on."""

    SAME_ATTEMPT = "same attempt"
    """Repeat it later under the same client token: it may have taken effect, or had no chance to."""
    NEW_ATTEMPT = "new attempt"
    """Repeat it later under a new client token: ECS replays a placement failure under the old one."""
    FINAL = "final"
    """It would be refused again."""


def refusal_of(error: DagyQueueError) -> Refusal:
    """Say how a launch goes on after an error."""
    if isinstance(error, AwsCapacity):
        return Refusal.NEW_ATTEMPT
    if isinstance(error, AwsThrottled | AwsUnavailable):
        return Refusal.SAME_ATTEMPT
    return Refusal.FINAL


def backoff(base: float, times: int) -> float:
    """Return a delay in seconds after ``times`` refusals: doubled up to a minute, its upper half random."""
    ceiling = min(_LONGEST_DELAY, base * 2 ** min(times, _MAX_DOUBLINGS))
    return random.uniform(ceiling / 2, ceiling)


def is_last_try(refusal: Refusal, attempt: int, retries: int, most: int | None) -> bool:
    """Tell whether a launch that found no room was the last that is allowed; ``most`` of None allows any number.

    Each of them, and each retry of the run, took an attempt's number.
    """
    return refusal is Refusal.NEW_ATTEMPT and most is not None and attempt - retries >= most
