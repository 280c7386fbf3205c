"""The application of the chaos: a callback that keeps count of how often it is called, and with what.

Its worker starts when the chaos is over: a message that the broker loses on its way to an application's own worker is
beyond what dagy_queue can bring back, and not what is put to the test.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import redis
from celery import Celery

import dagy_queue.producer  # noqa: F401 - a worker must know the type of large results

QUEUE = "chaos"
NOTED = "chaos:noted"

app = Celery("chaos", broker=os.environ.get("DAGY_REDIS_URL"), backend=os.environ.get("DAGY_REDIS_URL"))
app.conf.update(task_default_queue=QUEUE, broker_connection_retry_on_startup=True)


@app.task(name="chaos.note")
def note(results: Sequence[Any], key: str) -> int:
    """Note a call for a batch: its results, and how many of them are failures."""
    failed = sum(bool(result.get("failed")) for result in results)
    redis.Redis.from_url(os.environ["DAGY_REDIS_URL"]).rpush(NOTED, f"{key} {len(results)} {failed}")
    return len(results)
