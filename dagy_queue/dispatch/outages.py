"""How long AWS may be out of reach, or refuse a dispatcher's credentials, before what depends on it fails; pure.

The second pass (``dispatch/concluding.py``) and the reading of manifests (``dispatch/batch_tasks.py``) wait alike:
longer each time, up to a minute. A hundred times are an hour and a half.
"""

from __future__ import annotations

MOST_WAITS = 100
"""How often something is put off."""

FIRST_WAIT = 5.0
"""Seconds of the first time; each time takes as much longer."""

LONGEST_WAIT = 60.0
"""Seconds of the longest time."""


def wait_after(waits: int) -> float:
    """Return how many seconds to wait after so many waits."""
    return min(FIRST_WAIT * (waits + 1), LONGEST_WAIT)
