"""What works beside the consumers of a bridge (recorder, health server, reconciler), all started and stopped alike.

``bridge/service.py`` has the list. A loop in a thread needs only :class:`Loop`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol


class Background(Protocol):
    """Something with a beginning and an end. The bridge starts it, and stops it once it is told to stop itself."""

    def start(self) -> None:
        """Begin; returns at once."""

    def stop(self) -> None:
        """End, and wait for that for a few seconds at most."""


class Loop:
    """A function in a daemon thread, which returns soon after the event that it is given is set.

    ``stops_within`` are the seconds that a stop waits for what is under way; what is left undone must do no harm.
    """

    def __init__(
        self, name: str, target: Callable[[threading.Event], None], asked: threading.Event, *, stops_within: float
    ) -> None:
        self._stops_within = stops_within
        self._thread = threading.Thread(target=target, args=(asked,), name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the thread."""
        self._thread.join(self._stops_within)
