"""SIGTERM as an exception in the main thread, but only where the flow's process can do something sensible about it.

Outside the armed block (while the report is being written, say) the signal is remembered and otherwise ignored. Either
way the flow can see it: ``RunContext.stopping`` is set.
"""

from __future__ import annotations

import _thread
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dagy.context import STOPPING
from dagy.errors import Terminated
from dagy_worker.logs import JsonLog


class Termination:
    """Turns the first SIGTERM into Terminated."""

    def __init__(self, log: JsonLog) -> None:
        self._log = log
        self._armed = False
        self._requested = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signal until the end of the block."""
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
        if not already:
            # Not here: the main thread, which runs this, may hold the event's lock.
            _thread.start_new_thread(STOPPING.set, ())
            self._log.interrupt(self._stop)

    def _stop(self) -> None:
        if self._armed:
            self._armed = False
            raise Terminated("stopped by SIGTERM")
