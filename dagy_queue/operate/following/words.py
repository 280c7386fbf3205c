"""The words for what is followed: a line of progress, a line for each failure; pure."""

from __future__ import annotations

from collections.abc import Iterator

from dagy_queue.ledger import Phase
from dagy_queue.operate.following.pace import Pace
from dagy_queue.operate.following.sight import Sight
from dagy_queue.operate.text import clock, counted

_ENDED = tuple(phase.value for phase in Phase if phase.status.is_final)
_GOING_ON = tuple(phase.value for phase in Phase if not phase.status.is_final)


def progress(sight: Sight, pace: Pace) -> str:
    """Return how far it is, in a line."""
    return "; ".join(filter(None, [how_far(sight), phases(sight), launching(sight, pace), left(pace)]))


def how_far(sight: Sight) -> str:
    """Return how many of how many ended."""
    return f"{sight.done:,} of {sight.total:,} ended" if sight.is_counted else "the shards are being counted"


def phases(sight: Sight) -> str:
    """Return the counts by phase, in the order of a run's life."""
    counts = {phase.value: count for phase, count in sight.counts.items()}
    return ", ".join(filter(None, [counted(counts, _GOING_ON), counted(counts, _ENDED)]))


def launching(sight: Sight, pace: Pace) -> str:
    """Return the rate of launches against its limit; '' while nothing waits to be launched."""
    if pace.launches is None or sight.launched >= sight.total:
        return ""
    return f"launching {pace.launches:.1f}/s{'' if sight.limit is None else f' of {sight.limit:g}/s'}"


def left(pace: Pace) -> str:
    """Return when the last one will have ended; '' while that cannot be told."""
    return "" if pace.seconds_left is None else f"about {clock(pace.seconds_left)} left"


def failures(sight: Sight) -> Iterator[str]:
    """Yield a line for each failure."""
    for failure in sight.failures:
        yield f"{failure.what} failed: {failure.summary}"
    if sight.more_failures:
        yield f"and {sight.more_failures:,} more failed"
