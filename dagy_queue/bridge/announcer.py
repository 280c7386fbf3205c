"""Announces runs and batches to whoever listens for Celery events: Flower, first of all. The monitor has it do so.

What is announced is how a run is now, not what has happened to it: an announcement that comes twice or late never
turns a display back. Celery's own events of these tasks are off (``dispatch/tasks.py``): they would tell of the passes
of a run, not of its container.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Sequence
from functools import cached_property
from typing import Any

import structlog
from celery import Celery

from dagy_queue.bridge.event_sender import EventSender
from dagy_queue.bridge.event_texts import Surroundings
from dagy_queue.bridge.result_texts import ResultTexts
from dagy_queue.bridge.run_events import batch_event, entered_event, run_event
from dagy_queue.ledger import Phase
from dagy_queue.ledger.watching import WatchedRun, WatchLedger
from dagy_queue.messaging.app import make_app
from dagy_queue.settings import Settings

BEAT_SECONDS = 5.0
"""Seconds between two heartbeats of a cluster; monitors take it for offline after twice as many."""


log = structlog.get_logger(__name__)


class Announcer:
    """Sends the events of runs and batches, and the heartbeats of the clusters they are in."""

    def __init__(
        self,
        settings: Settings,
        watch: WatchLedger,
        app: Celery | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._around = Surroundings(settings.ecs, settings.aws.region)
        self._given_app = app
        self._now = now
        self._pools: set[str] = {""}

    def announce(self, run_ids: Sequence[str], batch_ids: Iterable[str], entered: Container[str] = ()) -> int:
        """Announce runs, the batches they belong to, and others; return the number of events.

        ``entered`` are those of the runs that are new. Raises RedisUnavailable.
        """
        around, now = self._around, self._now()
        runs = self._watch.runs(run_ids)
        values = self._values([run.entry.run_id for run in runs if run.entry.phase is Phase.SUCCEEDED])
        new = [run for run in runs if run.entry.run_id in entered]
        events = _made(new, lambda run: entered_event(run, around, now))
        events += _made(runs, lambda run: run_event(run, around, now, values.get(run.entry.run_id, "")))
        self._pools.update(run.pool for run in runs)
        wanted = dict.fromkeys([*batch_ids, *(run.entry.batch_id for run in runs if run.entry.batch_id)])
        batches = self._watch.batches(list(wanted))
        errors = self._errors([batch.callback_id for batch in batches if batch.ended_at and batch.callback_id])
        events += [batch_event(batch, around, now, errors.get(batch.callback_id, "")) for batch in batches]
        self._sender.send(events)
        return len(events)

    def listeners(self) -> int:
        """Return how many listen for events of tasks. Raises RedisUnavailable."""
        return self._sender.listeners()

    def beat(self) -> None:
        """Send the heartbeat of each cluster: monitors show it as a worker, its tasks in flight as active."""
        places = {pool.partition("|")[0] for pool in self._pools if pool} or {self._own_place}
        self._sender.send(
            [
                {
                    "type": "worker-heartbeat",
                    "hostname": self._around.hostname(place),
                    "timestamp": self._now(),
                    "freq": BEAT_SECONDS,
                    "active": self._watch.tasks_in(place),
                    "sw_ident": "dagy-queue",
                    "sw_sys": "ECS",
                }
                for place in sorted(places)
            ]
        )

    @property
    def _own_place(self) -> str:
        return f"{self._settings.aws.region}/{self._settings.ecs.cluster.rpartition('/')[2]}"

    def _values(self, task_ids: Sequence[str]) -> dict[str, str]:
        with self._watch.connection.errors():
            return self._results.values(task_ids)

    def _errors(self, task_ids: Sequence[str]) -> dict[str, str]:
        with self._watch.connection.errors():
            return self._results.errors(task_ids)

    @cached_property
    def _app(self) -> Celery:
        return self._given_app or make_app(self._settings)

    @cached_property
    def _sender(self) -> EventSender:
        return EventSender(self._app)

    @cached_property
    def _results(self) -> ResultTexts:
        return ResultTexts(self._app.backend)


def _made(runs: Sequence[WatchedRun], make: Callable[[WatchedRun], dict[str, Any]]) -> list[dict[str, Any]]:
    """Make an event of each run. One that fails is a defect of ours, and silences no other run."""
    events = []
    for run in runs:
        try:
            events.append(make(run))
        except Exception:
            log.exception("run_not_announced", run_id=run.entry.run_id)
    return events
