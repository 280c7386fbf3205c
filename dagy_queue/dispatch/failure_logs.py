"""The last lines of a failed run's log, read once when it fails, for its outcome to carry.

The second pass (``dispatch/concluding.py``) asks. A log is worth a call, not a run: of thousands of failures only some
are read, a few seconds at most are spent on one, and whatever goes wrong costs the lines alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import BoundedSemaphore, Lock

import structlog

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.log_reader import MISSING, LogReader
from dagy_queue.errors import AwsError
from dagy_queue.launching.log_text import last_lines
from dagy_queue.launching.logs import LogPlace, place_of, region_of
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import Settings

log = structlog.get_logger(__name__)

_A_SECOND, _AT_ONCE = 2.0, 10.0
"""Failures of which a dispatcher reads the log: a second, and at once. GetLogEvents has 10 calls a second or more."""
_THREADS = 4
_CONNECT_SECONDS, _READ_SECONDS = 2.0, 3.0
_LATE_SECONDS = 1.0
"""CloudWatch may have the last lines a moment after ECS reports the end."""
_PAUSE_SECONDS = 60.0
"""For how long nothing is read after a call that failed."""


class FailureLogs:
    """Reads the ends of logs, within a budget of this process."""

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        quick = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
        self._aws = AwsClients(settings.aws.model_copy(update=quick), max_connections=_THREADS)
        self._ecs = settings.ecs
        self._most = settings.dispatch.failure_log_lines
        self._now, self._pause = now, pause
        self._lock, self._slots = Lock(), BoundedSemaphore(_THREADS)
        self._tokens, self._counted_at, self._closed_until = _AT_ONCE, now(), now()

    def last_lines(self, run_id: str, request: LaunchRequest | ContainerRequest, task_arn: str) -> tuple[str, ...]:
        """Return the last lines of a run's container, oldest first; () if they cannot be had, or are not affordable."""
        place = place_of(request, self._ecs, task_arn) if self._most else None
        if place is None or not self._slots.acquire(blocking=False):
            return ()
        try:
            return self._read(run_id, place, place.region or region_of(task_arn)) if self._is_affordable() else ()
        finally:
            self._slots.release()

    def _read(self, run_id: str, place: LogPlace, region: str) -> tuple[str, ...]:
        try:
            reader = LogReader(self._aws.in_region(region).logs)
            events = reader.tail(place.group, place.stream, self._most).events
            if not events:
                self._pause(_LATE_SECONDS)
                events = reader.tail(place.group, place.stream, self._most).events
        except AwsError as exc:
            if exc.code == MISSING:
                return ()  # nothing was ever written, or nobody keeps it
            with self._lock:
                self._closed_until = self._now() + _PAUSE_SECONDS
            log.warning("failure_log_not_read", run_id=run_id, log=str(place), error=str(exc))
            return ()
        return tuple(last_lines([event.message for event in events], run_id))

    def _is_affordable(self) -> bool:
        with self._lock:
            now = self._now()
            self._tokens = min(_AT_ONCE, self._tokens + (now - self._counted_at) * _A_SECOND)
            self._counted_at = now
            if self._tokens < 1 or now < self._closed_until:
                return False
            self._tokens -= 1
            return True
