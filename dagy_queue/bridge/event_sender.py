"""Publishes Celery events, many in one message, as Celery's workers do with their own. The announcer uses it.

It also finds out whether anybody listens for them, by what Redis answers to a message: how many clients got it. kombu
drops that answer, so this one message is routed by kombu and published by hand.

Times are Redis's own, in seconds since 1970, so events carry no ``utcoffset``: receivers would shift them by it. Nor do
they carry a logical clock: receivers count them in the order in which they come, which is the order they are sent in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.events import get_exchange
from kombu import Producer
from kombu.exceptions import OperationalError

from dagy_queue.errors import RedisUnavailable

_ONCE_MORE = {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1}
_KEY = "task.multi"


class EventSender:
    """A way to those who listen for Celery events."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        with app.connection_for_write() as connection:
            self._exchange = get_exchange(connection, name=app.conf.event_exchange)

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Send events in one message. Raises RedisUnavailable.

        Heartbeats go by the key of tasks as well: Celery's workers listen to ``worker.#`` for their gossip, understand
        no list there, and would count a cluster among themselves.
        """
        if not events:
            return
        with self._producer() as producer:
            producer.publish(
                list(events),
                exchange=self._exchange.name,
                routing_key=_KEY,
                declare=[self._exchange],
                serializer=self._app.conf.event_serializer,
                headers={"hostname": events[0]["hostname"]},
                delivery_mode=1,
                retry=True,
                retry_policy=_ONCE_MORE,
            )

    def listeners(self) -> int:
        """Return how many listen for events of tasks: how many get an empty list of them. Raises RedisUnavailable."""

        def publish() -> int:
            producer.maybe_declare(self._exchange)
            routed, channel = _Routed(), producer.channel
            message = channel.prepare_message("[]", content_type="application/json", content_encoding="utf-8")
            channel.basic_publish(message, self._exchange.name, _KEY, _publish_batch=routed)
            with channel.conn_or_acquire() as client:
                return sum(int(client.publish(*each)) for each in routed.messages)

        with self._producer() as producer:
            found: int = producer.connection.ensure(producer, publish, **_ONCE_MORE)()
            return found

    @contextmanager
    def _producer(self) -> Iterator[Producer]:
        try:
            with self._app.producer_pool.acquire(block=True) as producer:
                yield producer
        except OperationalError as exc:
            raise RedisUnavailable(f"task events cannot be sent: {exc}") from exc


class _Routed:
    """Takes the place of kombu's batch of Redis commands: where messages go, and what is sent there."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    def add(self, _command: str, topic: str, payload: str) -> None:
        """Take a message that kombu has routed."""
        self.messages.append((topic, payload))
