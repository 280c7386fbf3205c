"""Carrying events to the bus, in order for each task, except where faults lose, repeat or delay them."""

from __future__ import annotations

import asyncio
import logging
from random import Random

from dagy_queue.local.ecs.arns import Realm, new_uuid
from dagy_queue.local.ecs.events import task_event
from dagy_queue.local.ecs.faults import Faults
from dagy_queue.local.ecs.reading import Json
from dagy_queue.local.ecs.stats import Stats
from dagy_queue.local.ecs.tasks import Task
from dagy_queue.local.ports import EventSink

_log = logging.getLogger(__name__)


class EventDelivery:
    """Sends a task's current state as an event."""

    def __init__(self, sink: EventSink, realm: Realm, faults: Faults, stats: Stats, rng: Random) -> None:
        self._sink = sink
        self._realm = realm
        self._faults = faults
        self._stats = stats
        self._rng = rng
        self._late: set[asyncio.Task[None]] = set()

    async def send(self, task: Task) -> None:
        """Send the task's state, as it is at this moment."""
        event = task_event(task, self._realm, new_uuid(self._rng))
        rules = self._faults.events
        if self._faults.happens(rules, "lose"):
            self._stats.events_lost += 1
            return
        copies = 2 if self._faults.happens(rules, "duplicate") else 1
        for _ in range(copies):
            if self._faults.happens(rules, "reorder"):
                self._send_later(event, self._faults.uniform(rules.reorder_seconds))
            else:
                await self._put(event)

    async def close(self) -> None:
        """Give up the events that are still being delayed."""
        for late in self._late:
            late.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    def _send_later(self, event: Json, seconds: float) -> None:
        late = asyncio.get_running_loop().create_task(self._put_after(event, seconds))
        self._late.add(late)
        late.add_done_callback(self._late.discard)

    async def _put_after(self, event: Json, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._put(event)

    async def _put(self, event: Json) -> None:
        self._stats.events_sent += 1
        try:
            await self._sink.put_event(event)
        except Exception:  # noqa: BLE001 - a bus that fails must not stop the tasks it is told about
            _log.exception("event %s of %s could not be delivered", event["id"], event["resources"][0])
