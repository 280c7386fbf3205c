from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from kombu import Connection

from dagy_queue.bridge.event_sender import EventSender
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger import RedisConnection
from dagy_queue.messaging.app import make_app
from tests.integration.waiting import eventually
from tests.unit.kit import settings_on


def drained(connection: Connection) -> None:
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.05)


def test_who_listens_for_events_of_tasks_is_counted_and_hears_nothing_of_it(connection: RedisConnection) -> None:
    app = make_app(settings_on(connection))
    sender = EventSender(app)
    heard: list[dict[str, Any]] = []
    assert sender.listeners() == 0
    with app.connection_for_read() as connected:
        receiver = app.events.Receiver(connected, handlers={"*": heard.append})
        with receiver.consumer_context() as (listening, _, _):
            eventually(lambda: drained(listening) or sender.listeners() == 1, "it has subscribed")
            sender.send([{"type": "task-held", "uuid": "a", "hostname": "ecs@dagy", "timestamp": 1.0}])
            eventually(lambda: drained(listening) or heard, "it hears of the task")
    assert [event["uuid"] for event in heard] == ["a"]
    assert sender.listeners() == 0


def test_without_redis_nobody_can_be_counted(connection: RedisConnection) -> None:
    app = make_app(settings_on(connection, redis={"url": "redis://127.0.0.1:1/0"}))
    with pytest.raises(RedisUnavailable, match="task events cannot be sent"):
        EventSender(app).listeners()
