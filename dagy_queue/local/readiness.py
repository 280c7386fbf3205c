"""Tells from outside when a process of the product is at work, whatever its log says. Used by ``up`` and tests."""

from __future__ import annotations

import contextlib
import http.client

from dagy_queue.errors import LocalStackError
from dagy_queue.local import endpoint


def dispatchers_ready(redis_url: str, count: int = 1) -> bool:
    """Tell whether at least ``count`` Celery workers answer a ping."""
    from celery import Celery
    from kombu.exceptions import OperationalError

    app = Celery("dagy-queue-probe", broker=redis_url, set_as_current=False)
    try:
        return len(app.control.ping(timeout=1.0, limit=count)) >= count
    except OperationalError:
        return False
    finally:
        app.close()


def bridge_ready(endpoint_url: str, queue_url: str) -> bool:
    """Tell whether somebody receives from the event queue."""
    try:
        queues = endpoint.call(endpoint_url, "sqs/stats")["queues"]
    except LocalStackError:
        return False
    found = queues.get(queue_url.rsplit("/", 1)[-1], {})
    return bool(found.get("waiting_receivers") or found.get("empty_receives") or found.get("received"))


def flower_ready(port: int) -> bool:
    """Tell whether Flower serves pages."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/healthcheck")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
