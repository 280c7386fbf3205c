"""The pump: takes granted runs from the ledger and hands them to threads that call RunTask.

One runs in every dispatcher process, as a Celery bootstep (``dispatch/worker.py``). An idle pump sleeps in a blocking
Redis call; nothing polls.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import structlog

from dagy_queue.dispatch.endings import timed_out
from dagy_queue.dispatch.launcher import Launcher
from dagy_queue.dispatch.limits import limits_of
from dagy_queue.dispatch.metrics import DispatchMetrics
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Grant, Granted

log = structlog.get_logger(__name__)

_MOST_AT_ONCE = 100
_AFTER_REDIS_FAILED = 1.0
_WAKES_WITHIN = 2.0
"""Seconds until a pump that waits has seen that it stops; without Redis it does not see it, and is not waited for."""
_TOO_LATE = {"outcome": timed_out().to_dict()}


class Pump:
    """A loop in one thread, and the threads that launch."""

    def __init__(self, services: Services, launcher: Launcher, metrics: DispatchMetrics | None = None) -> None:
        self._admission = services.admission
        self._settings = services.settings.dispatch
        self._limits = limits_of(services.settings)
        self._launcher = launcher
        self._threads = self._settings.launch_threads
        self._metrics = metrics or DispatchMetrics()
        self._metrics.has_threads(self._threads)
        self._free = threading.Semaphore(self._threads)
        self._stopping = threading.Event()
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="dagy-launch")
        self._loop = threading.Thread(target=self._run, name="dagy-pump", daemon=True)
        self._in_hand: set[AttemptId] = set()

    def start(self) -> None:
        """Begin to pump."""
        self._loop.start()

    def stop(self) -> None:
        """Take no more runs, finish the launches in hand, and return."""
        self.take_no_more()
        if self._loop.is_alive():
            self._loop.join(_WAKES_WITHIN)
        self._executor.shutdown(wait=True)

    def take_no_more(self) -> None:
        """Begin to stop, and return at once: runs that are granted but not begun go back."""
        self._stopping.set()
        if self._loop.is_alive():
            threading.Thread(target=self._wake, name="dagy-pump-wake", daemon=True).start()

    def hand_back(self) -> None:
        """Give back the runs whose launches go on: they are asked for again under their client tokens."""
        for attempt_id in tuple(self._in_hand):
            self._launcher.give_back(attempt_id, called=True)

    def _wake(self) -> None:
        try:
            self._admission.interrupt()
        except RedisUnavailable:
            log.warning("pump_not_woken")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except RedisUnavailable as exc:
                log.warning("pump_without_redis", error=str(exc))
                self._stopping.wait(_AFTER_REDIS_FAILED)
            except Exception:
                log.exception("pump_crashed")
                self._stopping.wait(_AFTER_REDIS_FAILED)

    def _turn(self) -> None:
        slots = self._take_slots()
        granted = Granted((), None, more=False)
        try:
            if not self._stopping.is_set():
                granted = self._admission.lease(slots, self._settings.lease_seconds, self._limits, _TOO_LATE)
        finally:
            for _ in range(slots - len(granted.grants)):
                self._free.release()
        if self._stopping.is_set():  # meanwhile
            for grant in granted.grants:
                self._launcher.give_back(grant.attempt_id, called=False)
            return
        self._metrics.granted(len(granted.grants))
        for grant in granted.grants:
            self._executor.submit(self._launch, grant)
        for task in granted.unwanted:
            self._executor.submit(self._launcher.stop_unwanted, task.task_arn, task.reason)
        if not granted.more and not self._stopping.is_set():
            wait = self._settings.idle_wait_seconds
            self._admission.wait(wait if granted.next_due is None else min(wait, granted.next_due))

    def _take_slots(self) -> int:
        """Wait for a free thread; return how many there are, taken."""
        if not self._free.acquire(blocking=False):
            self._admission.pass_on()
            self._free.acquire()
        slots = 1
        while slots < min(self._threads, _MOST_AT_ONCE) and self._free.acquire(blocking=False):
            slots += 1
        return slots

    def _launch(self, grant: Grant) -> None:
        try:
            if self._stopping.is_set():
                self._launcher.give_back(grant.attempt_id, called=False)
                return
            self._in_hand.add(grant.attempt_id)
            with self._metrics.busy():
                self._launcher.launch(grant)
        finally:
            self._in_hand.discard(grant.attempt_id)
            self._free.release()
