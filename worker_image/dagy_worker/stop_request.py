"""SIGTERM in the supervisor: remembered, passed on to the flow's process, and how long each may take then."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dagy.errors import Terminated

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_MESSAGE = "stopped by SIGTERM"
_FOR_REPORTS = 10.0
"""Seconds at the end that the supervisor keeps for itself, if the container has that many."""


class StopRequest:
    """Whether the container was told to stop, and when. ``timeout`` is its ``stopTimeout`` in seconds."""

    def __init__(self) -> None:
        self.timeout = 30.0
        self.pid = 0
        """The process to pass the signal on to; 0 for none."""
        self._at: float | None = None
        self._interrupts = False

    @property
    def was_made(self) -> bool:
        """Whether the signal has come."""
        return self._at is not None

    @property
    def grace(self) -> float:
        """Seconds that the flow has to end by itself."""
        return max(self.timeout - _FOR_REPORTS, self.timeout / 2)

    @property
    def flow_until(self) -> float | None:
        """``time.monotonic()`` until which the flow may go on."""
        return None if self._at is None else self._at + self.grace

    @property
    def all_until(self) -> float | None:
        """``time.monotonic()`` until which everything must be written."""
        return None if self._at is None else self._at + self.timeout - min(1.0, self.timeout / 8)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Handle the signals until the end of the block."""
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise Terminated inside the block when the signal comes, or at once if it came before.

        At the end of the block at the latest: what is raised while Python collects garbage, it drops.
        """
        self._interrupts = True
        try:
            self._raise_if_made()
            yield
            self._raise_if_made()
        finally:
            self._interrupts = False

    def _raise_if_made(self) -> None:
        if self.was_made:
            raise Terminated(_MESSAGE)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._at is None:
            self._at = time.monotonic()
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        if self._interrupts:
            self._interrupts = False
            raise Terminated(_MESSAGE)
