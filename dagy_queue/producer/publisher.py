"""The parts a producing process is made of; built once per process, or given to a DagLauncher explicitly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from celery import Celery

from dagy_queue.ledger import BatchLedger, RedisConnection, RunLedger
from dagy_queue.messaging.app import default_app, make_app
from dagy_queue.messaging.publication import enter_on_publish
from dagy_queue.messaging.render import Renderer
from dagy_queue.settings import Settings, settings


@dataclass(frozen=True, slots=True)
class Publisher:
    """A way to publish to one Redis."""

    settings: Settings
    app: Celery
    redis: RedisConnection
    runs: RunLedger
    batches: BatchLedger
    renderer: Renderer

    @classmethod
    def build(cls, config: Settings, app: Celery | None = None) -> Publisher:
        """Connect the parts. Nothing is opened before it is used."""
        app = app or make_app(config)
        redis = RedisConnection(config.redis)
        return cls(config, app, redis, RunLedger(redis), BatchLedger(redis), Renderer(app))


@lru_cache(maxsize=1)
def default_publisher() -> Publisher:
    """Return the publisher of this process's settings."""
    enter_on_publish()
    return Publisher.build(settings(), default_app())
