"""The demo's own application, as any user has one: a Celery app, a task, and a worker on a queue of its own.

celery -A scripts.demo_support.application worker --queues flights
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable

from celery import Celery

QUEUE = "flights"
Row = tuple[str, int, int, int]
"""Carrier, month, minutes of delay, departures; a list in JSON."""

_REDIS = os.environ.get("DAGY_REDIS_URL", "redis://127.0.0.1:6379/0")

app = Celery("flights", broker=_REDIS, backend=_REDIS)
app.conf.update(task_default_queue=QUEUE, broker_connection_retry_on_startup=True)


@app.task(name="flights.merge_delays")
def merge_delays(shards: Iterable[Iterable[Row]]) -> list[Row]:
    """Merge the results of all shards: the callback of the fan-out."""
    sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for rows in shards:
        for carrier, month, minutes, departures in rows:
            group = sums[carrier, month]
            group[0] += minutes
            group[1] += departures
    return [(carrier, month, minutes, count) for (carrier, month), (minutes, count) in sorted(sums.items())]
