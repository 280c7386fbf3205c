"""How a dispatcher ends: what is in hand is finished, or handed back, within ``dispatch.stop_seconds``.

``dispatch/worker.py`` has it as a bootstep. SIGTERM and SIGINT begin it, and Celery's own warm shutdown does the most:
it takes no more messages, waits for the passes in its threads and puts back what no thread has begun. Celery waits
without end for a pass, and Python for a thread that hangs in RunTask; here is the end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from celery.platforms import EX_OK
from celery.worker import state

log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_MOST_FOR_HANDING_BACK = 5.0
_SHARE_FOR_HANDING_BACK = 0.2


class Stopping:
    """Waits for the wish to stop, tells everybody, and ends the process when its time is over."""

    def __init__(self, seconds: float, tell: Callable[[], None], hand_back: Callable[[], None]) -> None:
        """``tell`` has no more taken, and returns at once; ``hand_back`` gives back what is not finished."""
        self._for_handing_back = min(_MOST_FOR_HANDING_BACK, seconds * _SHARE_FOR_HANDING_BACK)
        self._seconds = seconds
        self._tell = tell
        self._hand_back = hand_back
        # Its put may interrupt itself, as a signal's handler does; an Event's set would wait for itself.
        self._wishes: SimpleQueue[int] = SimpleQueue()
        self._thread = threading.Thread(target=self._wait, name="dagy-stopping", daemon=True)

    def start(self) -> None:
        """Take over the signals, from Celery: also of a worker that ``celery worker`` has started."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._on_signal)
        self._thread.start()

    def begin(self) -> None:
        """Stop without a signal: Celery's remote ``shutdown``, or an error that ends the worker."""
        self._wishes.put(signal.SIGTERM)

    def _on_signal(self, number: int, _: Any) -> None:
        # Celery's warm shutdown, but with exit code 0 for SIGINT as well.
        state.should_stop = EX_OK
        self._wishes.put(number)

    def _wait(self) -> None:
        self._wishes.get()
        until = time.monotonic() + self._seconds - self._for_handing_back
        log.info("stopping", within=self._seconds)
        self._tell()
        while (left := until - time.monotonic()) > 0:
            try:
                if self._wishes.get(timeout=left) == signal.SIGINT:  # Ctrl-C again
                    break
            except Empty:
                break
        self._end()

    def _end(self) -> None:
        """End the process; whatever hangs, hangs in a thread that must not be waited for."""
        log.warning("stopping_late", what="what is in hand is handed back")
        handing_back = threading.Thread(target=self._hand_back, name="dagy-hand-back", daemon=True)
        handing_back.start()
        handing_back.join(self._for_handing_back)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(EX_OK)
