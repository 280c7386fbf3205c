"""A publisher on the test's Redis."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kombu import pools

from dagy_queue.ledger import RedisConnection
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.messaging import publication
from dagy_queue.messaging.app import default_app
from dagy_queue.producer.building import RequestBuilder, builder_of, default_builder
from dagy_queue.producer.publisher import Publisher, default_publisher
from dagy_queue.settings import load_settings, settings


@dataclass(frozen=True)
class Launcher:
    """What a fan-out takes from a DagLauncher, on a publisher that the tests share."""

    publisher: Publisher
    builder: RequestBuilder


def on(publisher: Publisher, **levels: Any) -> Launcher:
    """Return a launcher on a publisher; ``levels`` are those of ``builder_of``."""
    return Launcher(publisher, builder_of(publisher.settings, **levels))


@pytest.fixture(scope="session")
def publisher_of_session(redis_server: RedisServer) -> Iterator[Publisher]:
    with pytest.MonkeyPatch.context() as patch:
        # This fixture may come before the one that takes the integration tests' stack out of the environment.
        for name in [name for name in os.environ if name.startswith(("DAGY_", "AWS_"))]:
            patch.delenv(name)
        publisher = Publisher.build(load_settings(redis={"url": redis_server.url}))
    yield publisher
    publisher.redis.close()
    pools.reset()


@pytest.fixture
def publisher(publisher_of_session: Publisher, connection: RedisConnection) -> Publisher:
    """A publisher to an empty Redis: one for all tests, as its connections are kombu's for the process."""
    publisher_of_session.app.backend._cache.clear()
    return publisher_of_session


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, publisher: Publisher) -> Iterator[Publisher]:
    """A process whose settings name the test's Redis, and its default publisher."""
    caches = (settings, default_app, publication._parts, default_publisher, default_builder)
    monkeypatch.setenv("DAGY_REDIS_URL", publisher.settings.redis.url)
    for cache in caches:
        cache.cache_clear()
    yield default_publisher()
    default_publisher().redis.close()
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()
