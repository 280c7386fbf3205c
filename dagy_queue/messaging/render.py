"""Messages rendered before they are sent: exactly what Celery would push to the broker's list, as text.

Celery publishes into a kombu channel that only remembers. The ledger stores the text and pushes it from a Lua
script. Blanks (``"@dagy:attempt@"`` ...) are filled in by that script (``ledger/lua/common/messages.lua``).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.canvas import Signature
from kombu import Connection
from kombu.transport import memory, redis

from dagy_queue.ledger import Continuation
from dagy_queue.messaging.names import ATTEMPT_HEADER, RESUME_HEADER

_CARRIED_OVER = ("broker_transport_options", "task_serializer", "task_routes", "task_default_queue")


class _RememberingChannel(memory.Channel):
    """Keeps what is published instead of queueing it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.published: list[tuple[str, dict[str, Any]]] = []

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        self.published.append((queue, message))


class _RememberingTransport(memory.Transport):
    Channel = _RememberingChannel


class Renderer:
    """Renders signatures of one app. Each thread has a channel of its own, for as long as it lives."""

    def __init__(self, app: Celery) -> None:
        # A twin without result backend, events or tasks: rendering must not subscribe to results or announce anything.
        self.app = Celery("dagy_queue.render", set_as_current=False, backend="disabled")
        self.app.conf.update(
            {name: app.conf[name] for name in _CARRIED_OVER}, task_send_sent_event=False, result_backend="disabled"
        )
        self._local = threading.local()

    @contextmanager
    def producer(self) -> Iterator[tuple[Any, list[tuple[str, dict[str, Any]]]]]:
        """Yield a Celery producer that sends nothing, and the list of (queue, message) it was given."""
        if not hasattr(self._local, "channel"):
            self._local.channel = Connection(transport=_RememberingTransport).channel()
        channel = self._local.channel
        channel.published.clear()
        rendering.active = True
        try:
            yield self.app.amqp.Producer(channel, auto_declare=False), channel.published
        finally:
            rendering.active = False

    def signature(
        self, signature: Signature, *, blanks: Mapping[str, Any] | None = None, **options: Any
    ) -> Continuation:
        """Render the message that ``signature.apply_async(**options)`` would send.

        ``blanks`` maps header names to the values to put in place of Celery's.
        """
        signature = Signature.from_dict(signature, app=self.app)
        with self.producer() as (producer, published):
            signature.apply_async(producer=producer, add_to_parent=False, declare=[], retry=False, **options)
            queue, message = published[0]
        return self._continuation(queue, message, blanks or {})

    def parts(self, body: Any, headers: Mapping[str, Any], properties: Mapping[str, Any], queue: str) -> Continuation:
        """Render a message from the parts that Celery's ``before_task_publish`` signal carries."""
        with self.producer() as (producer, published):
            producer.publish(
                body,
                exchange="",
                routing_key=queue,
                serializer=self.app.conf.task_serializer,
                headers=dict(headers),
                declare=[],
                **properties,
            )
            queue, message = published[0]
        return self._continuation(queue, message, {})

    def _continuation(self, queue: str, message: dict[str, Any], blanks: Mapping[str, Any]) -> Continuation:
        for name, value in blanks.items():
            message["headers"][name] = value
        if ATTEMPT_HEADER in blanks:
            message["properties"]["delivery_tag"] = blank("tag")
        if "id" in blanks:
            message["properties"]["correlation_id"] = blanks["id"]
        priority = message["properties"].get("priority") or 0
        return Continuation(self.list_key(queue, priority), json.dumps(message, separators=(",", ":")))

    def list_key(self, queue: str, priority: int) -> str:
        """Return the Redis list that kombu's Redis transport uses for a queue and priority."""
        options = self.app.conf.broker_transport_options
        steps = options.get("priority_steps", redis.PRIORITY_STEPS)
        step = max((s for s in steps if s <= priority), default=steps[0])
        name = f"{queue}{options.get('sep', redis.Channel.sep)}{step}" if step else queue
        return f"{options.get('global_keyprefix', '')}{name}"


class _Rendering(threading.local):
    active = False


rendering = _Rendering()
"""Whether this thread is rendering: publish signals then concern nobody."""


def blank(name: str) -> str:
    """Return the text that the ledger replaces when it sends the message."""
    return f"@dagy:{name}@"


def run_blanks() -> dict[str, Any]:
    """Return the blanks of a continuation of a single run."""
    return {
        ATTEMPT_HEADER: blank("attempt"),
        RESUME_HEADER: blank("resume"),
        "retries": blank("retries"),
        "eta": None,
        "expires": None,
    }


def shard_blanks() -> dict[str, Any]:
    """Return the blanks of the template that all shards of a batch share."""
    return {**run_blanks(), "id": blank("id"), "group_index": blank("shard")}
