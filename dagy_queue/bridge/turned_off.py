"""What a bridge does in place of recording, or of monitoring, where that is turned off: nothing is kept for it.

``recorder.py`` and ``monitor.py`` return it to the bridge as their loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from dagy_queue.errors import RedisUnavailable

_LOOKS_AGAIN = 60.0
"""Seconds until it is turned off once more: it stays off for a few minutes (``ledger/streams.py``)."""
_AFTER_FAILURE = 1.0


def keeping_off(turn_off: Callable[[], object]) -> Callable[[threading.Event], None]:
    """Return the loop that keeps a stream of changes off."""

    def keep_off(stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                turn_off()
            except RedisUnavailable:
                stopping.wait(_AFTER_FAILURE)
            else:
                stopping.wait(_LOOKS_AGAIN)

    return keep_off
