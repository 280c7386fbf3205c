"""The monitor: one thread over all bridges that reads what changes in the ledger, counts it and announces it.

``bridge/service.py`` starts it. Nothing waits for it: a monitor that is slow, or not there, delays what Flower and
Prometheus show, and nothing else. It announces each run as it is by then, however often it changed meanwhile, and
never more than ``monitor.events_per_second``; so a large fan-out neither floods Flower nor costs more than that. While
nobody listens for events it announces nothing, and only counts; whoever begins to listen is told what they missed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from dagy_queue.bridge.announcer import BEAT_SECONDS, Announcer
from dagy_queue.bridge.run_metrics import RunMetrics
from dagy_queue.bridge.turned_off import keeping_off
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.leadership import MONITOR, Leadership
from dagy_queue.ledger.watching import START, Change, WatchLedger
from dagy_queue.settings import Settings

log = structlog.get_logger(__name__)

LEASE_SECONDS = 15.0
_READ_AT_ONCE = 2000
COLLECTS = 0.25
"""Seconds in which changes are collected before they are announced together: nobody reads faster than that."""
_IDLE_WAIT = 2.0
"""Seconds of one blocking wait: the longest that an idle monitor takes to stop."""
_AFTER_FAILURE = 1.0
_LOOKS_FOR_LISTENERS = 1.0
"""Seconds between two looks for listeners, and between two rounds of counting while there is none."""
_BEFORE_AGAIN = 3.0
"""Seconds from a monitor's asking for everything until it certainly listens: Celery asks just before it subscribes.

Whoever is seen to listen is told at once; this is for one that takes another's place between two looks."""


def monitoring(
    settings: Settings, connection: RedisConnection, metrics: RunMetrics
) -> Callable[[threading.Event], None]:
    """Return the loop that monitors until it is told to stop; where that is off, it has nothing told instead."""
    watch = WatchLedger(connection)
    if not settings.monitor.events and settings.bridge.health_port is None:
        return keeping_off(watch.close)
    announcer = Announcer(settings, watch) if settings.monitor.events else None
    leadership = Leadership(connection, MONITOR, LEASE_SECONDS)
    counted = metrics if settings.bridge.health_port is not None else None
    return Monitor(watch, counted, announcer, settings.monitor.events_per_second, leadership).run


class Monitor:
    """A loop over read, count, announce. Without ``metrics`` it counts nothing, without an announcer it is silent."""

    def __init__(
        self,
        watch: WatchLedger,
        metrics: RunMetrics | None,
        announcer: Announcer | None,
        events_per_second: float,
        leadership: Leadership,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watch = watch
        self._metrics = metrics
        self._announcer = announcer
        self._rate = events_per_second
        self._leadership = leadership
        self._now = now
        self._read = self._counted = self._announced = START
        self._runs: dict[str, None] = {}
        self._batches: dict[str, None] = {}
        self._entered: set[str] = set()
        self._again_at: float | None = None
        self._next_beat = 0.0
        self._next_look = 0.0
        self._listeners: int | None = None
        """How many listen for events; None before that was looked for."""
        self._is_leading = False
        self._is_failing = False

    def run(self, stopping: threading.Event) -> None:
        """Monitor until told to stop. What fails is tried again."""
        while not stopping.is_set():
            try:
                if self._leads():
                    self.turn(stopping)
                    self._worked()
                else:
                    stopping.wait(LEASE_SECONDS / 3)
            except RedisUnavailable as exc:
                self._failed(exc, stopping)
            except Exception:
                log.exception("monitor_crashed")
                stopping.wait(_AFTER_FAILURE)
        self._resign()

    def turn(self, stopping: threading.Event) -> int:
        """Wait for changes, read, count and announce some of them; return how many events.

        Raises RedisUnavailable.
        """
        self._look()
        if not self._listeners:
            self._count()
            stopping.wait(_LOOKS_FOR_LISTENERS)
            return 0
        if not self._has_work:
            self._watch.wait(self._read, self._longest_wait())
            stopping.wait(COLLECTS)
        self._take(self._watch.read(self._read, _READ_AT_ONCE))
        self._begin_again_if_asked()
        sent = self._announce()
        if not self._has_work:
            self._announced = self._read
        # However much waits to be announced: the next monitor must not count again what this one has.
        self._watch.keep_place(self._announced, self._counted)
        if self._has_work:
            stopping.wait(max(COLLECTS, sent / self._rate))
        return sent

    def _count(self) -> None:
        """Count what has changed, where somebody may ask for it."""
        if not self._metrics:
            return
        while changes := self._watch.read(self._read, _READ_AT_ONCE):
            self._take(changes)
        self._announced = self._read
        self._watch.keep_place(self._announced, self._counted)

    @property
    def _has_work(self) -> bool:
        return bool(self._runs or self._batches)

    def _take(self, changes: list[Change]) -> None:
        for change in changes:
            self._read = change.entry_id
            if _is_later(change.entry_id, self._counted):
                self._counted = change.entry_id
                if self._metrics:
                    self._metrics.observe(change)
                if change.again:
                    self._again_at = self._now() + _BEFORE_AGAIN
            if self._listeners:
                run_ids = dict.fromkeys(change.run_ids)
                self._runs.update(run_ids)
                if change.has_entered:
                    self._entered.update(run_ids)
                if change.batch_id:
                    self._batches[change.batch_id] = None

    def _begin_again_if_asked(self) -> None:
        """Have everything announced once more that the stream knows of: somebody has begun to listen."""
        if self._again_at is None or self._now() < self._again_at:
            return
        self._watch.answer()
        self._read = START
        log.info("announcing_again")
        while changes := self._watch.read(self._read, _READ_AT_ONCE):
            self._take(changes)
        self._again_at = None

    def _announce(self) -> int:
        if not self._announcer or not self._has_work:
            return 0
        runs = list(self._runs)[: max(1, int(self._rate * COLLECTS))]
        batches = list(self._batches) if len(runs) == len(self._runs) else []
        sent = self._announcer.announce(runs, batches, self._entered)
        self._entered.difference_update(runs)
        for run_id in runs:
            del self._runs[run_id]
        for batch_id in batches:
            del self._batches[batch_id]
        if self._metrics:
            self._metrics.announced(sent, waiting=len(self._runs))
        return sent

    def _look(self) -> None:
        """Look for listeners: a new one is told everything, the last one takes with it what waits to be announced."""
        if self._now() >= self._next_look:
            self._next_look = self._now() + _LOOKS_FOR_LISTENERS
            self._watch.open()
            before, self._listeners = self._listeners, self._announcer.listeners() if self._announcer else 0
            if before is not None and self._listeners > before:
                self._again_at = self._now()
            if not self._listeners and self._has_work:
                self._forget()
        if self._announcer and self._listeners and self._now() >= self._next_beat:
            self._next_beat = self._now() + BEAT_SECONDS
            self._announcer.beat()

    def _forget(self) -> None:
        self._runs.clear()
        self._batches.clear()
        self._entered.clear()
        if self._metrics:
            self._metrics.announced(0, waiting=0)

    def _longest_wait(self) -> float:
        due = [at - self._now() for at in (self._again_at, self._next_look) if at is not None]
        return max(0.001, min([_IDLE_WAIT, *due]))

    def _leads(self) -> bool:
        leads = self._leadership.leads()
        if leads and not self._is_leading:
            self._watch.open()
            self._announced, self._counted = self._watch.place()
            self._read = self._announced
            self._listeners, self._next_look, self._next_beat = None, 0.0, 0.0
            log.info("monitoring", events=self._announcer is not None)
        if not leads:
            self._forget()
        self._is_leading = leads
        return leads

    def _failed(self, error: RedisUnavailable, stopping: threading.Event) -> None:
        if not self._is_failing:
            log.warning("monitoring_failed", error=str(error))
        self._is_failing = True
        stopping.wait(_AFTER_FAILURE)

    def _worked(self) -> None:
        if self._is_failing:
            log.info("monitoring_again")
        self._is_failing = False

    def _resign(self) -> None:
        try:
            if self._is_leading:
                self._leadership.resign()
        except RedisUnavailable as exc:
            log.info("lead_not_resigned", error=str(exc))


def _is_later(entry_id: str, than: str) -> bool:
    return _numbers(entry_id) > _numbers(than)


def _numbers(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)
