"""An app whose broker is the test's Redis, and a way to take a message from a queue as a Celery worker would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import pools

from dagy_queue.ledger import RedisConnection
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.messaging.app import make_app
from dagy_queue.settings import load_settings

Take = Callable[[str], Any]


@pytest.fixture(scope="session")
def app_of_session(redis_server: RedisServer) -> Iterator[Celery]:
    app = make_app(load_settings(redis={"url": redis_server.url}))
    yield app
    pools.reset()


@pytest.fixture
def app(app_of_session: Celery, connection: RedisConnection) -> Celery:
    """An app that publishes to the test's Redis: one for all tests, as its connections are kombu's for the process."""
    return app_of_session


@pytest.fixture
def take(app: Celery) -> Iterator[Take]:
    """Take the only message of a queue by kombu's Redis transport."""
    with app.connection_for_read() as broker:
        channel = broker.channel()

        def take_one(queue: str) -> Any:
            message = channel.basic_get(queue, no_ack=True)
            assert message is not None, f"nothing in {queue}"
            assert channel.basic_get(queue, no_ack=True) is None, f"more than one message in {queue}"
            return message

        yield take_one


def raw(connection: RedisConnection, list_key: str) -> dict[str, Any]:
    """Return the only message of a broker list, as it is there."""
    (text,) = connection.client.lrange(list_key, 0, -1)
    message: dict[str, Any] = json.loads(text)
    return message


def without_tag(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without what is never the same twice: tag, reply queue of the app, milliseconds left."""
    never_the_same = ("delivery_tag", "reply_to", "expiration")
    properties = {k: v for k, v in message["properties"].items() if k not in never_the_same}
    return message | {"properties": properties}
