"""SIGTERM as an exception in the main thread, but only where the worker can do something sensible about it.

Outside the armed block (while the report is being written, say) the signal is remembered and otherwise ignored.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dagy.errors import Terminated


class Termination:
    """Turns the first SIGTERM into Terminated."""

    def __init__(self) -> None:
        self._armed = False
        self._requested = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signal until the end of the block. Without effect outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Raise Terminated inside the block when the signal comes, or at once if it came before."""
        self._armed = True
        try:
            if self._requested:
                self._stop()
            yield
        finally:
            self._armed = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        already, self._requested = self._requested, True
        if self._armed and not already:
            self._stop()

    def _stop(self) -> None:
        self._armed = False
        raise Terminated("stopped by SIGTERM")
