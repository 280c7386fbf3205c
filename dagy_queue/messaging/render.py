"""Messages rendered before they are sent: exactly what Celery would push to the broker's list, as text.

Celery publishes into a kombu channel that only remembers. The ledger stores the text and pushes it from a Lua
script. Blanks (``"@dagy:attempt@"`` ...) are filled in by that script (``ledger/lua/common/messages.lua``).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from celery import Celery, _state
from celery.backends.base import DisabledBackend
from celery.canvas import Signature
from celery.result import ResultBase
from kombu import Connection, Producer
from kombu.transport import memory, redis

from dagy_queue.ledger import Continuation
from dagy_queue.messaging.names import ATTEMPT_HEADER, RESUME_HEADER

_LOWEST_PRIORITY = 9
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


class _ChordBackend(DisabledBackend):
    """Knows nothing of results, but writes what chords are counted by to the result backend of the app itself."""

    def ensure_chords_allowed(self) -> None:
        """They are."""

    def apply_chord(self, *args: Any, **options: Any) -> Any:
        """Keep the structure of a chord's header."""
        return self.app.original.backend.apply_chord(*args, **options)

    def set_chord_size(self, group_id: str, chord_size: int) -> Any:
        """Keep the number of a chord's parts."""
        return self.app.original.backend.set_chord_size(group_id, chord_size)


class _Twin(Celery):
    """An app like another one, whose producers send nothing.

    It has no results, events or tasks: rendering must not subscribe to results or announce anything.
    """

    current_worker_task = None
    """What a dispatcher's task has rendered is not a child of that task."""

    def __init__(self, app: Celery) -> None:
        super().__init__("dagy_queue.render", set_as_current=False)
        self.original = app
        self.conf.update({name: app.conf[name] for name in _CARRIED_OVER}, task_send_sent_event=False)
        self._of_thread = threading.local()

    def channel(self) -> _RememberingChannel:
        """Return this thread's channel."""
        if not hasattr(self._of_thread, "channel"):
            self._of_thread.channel = Connection(transport=_RememberingTransport).channel()
        channel: _RememberingChannel = self._of_thread.channel
        return channel

    def producer_or_acquire(self, producer: Any = None) -> Any:
        """Return a producer that remembers: canvas takes one from its app, whatever it was given."""
        return nullcontext(producer or _RememberingProducer(self.channel(), auto_declare=False))

    def _get_backend(self) -> Any:
        return _ChordBackend(app=self)


class _RememberingProducer(Producer):
    """Declares no queues."""

    def maybe_declare(self, *_: Any, **__: Any) -> None:
        """There is nothing to declare them on."""


class Renderer:
    """Renders signatures of one app. Each thread has a channel of its own, for as long as it lives."""

    def __init__(self, app: Celery) -> None:
        self.app = _Twin(app)

    @contextmanager
    def remembered(self) -> Iterator[list[tuple[str, dict[str, Any]]]]:
        """Yield the list of (queue, message) of what this thread publishes meanwhile; nothing is sent."""
        published, before = self.app.channel().published, _state._tls.current_app
        published.clear()
        rendering.active = True
        # The members of a canvas that was read from JSON publish by the current app.
        _state._set_current_app(self.app)
        try:
            yield published
        finally:
            _state._set_current_app(before)
            rendering.active = False

    def signature(
        self, signature: Signature, *, blanks: Mapping[str, Any] | None = None, **options: Any
    ) -> Continuation:
        """Render the message that ``signature.apply_async(**options)`` would send.

        ``blanks`` maps header names to the values to put in place of Celery's.
        """
        with self.remembered() as published:
            Signature.from_dict(signature, app=self.app).apply_async(**options)
            queue, message = published[0]
        return self._continuation(queue, message, blanks or {})

    def messages(self, signature: Signature, args: Sequence[Any] = (), **options: Any) -> tuple[Continuation, ...]:
        """Render all messages that ``signature.apply_async(args, **options)`` would send.

        That is one for a task or the head of a chain, and one for each member of a group or of a chord's header. What
        a chord is counted by is written to the result backend now, and expires there if the messages are not sent.
        """
        return self.call(signature, args, **options)[0]

    def call(
        self, signature: Signature, args: Sequence[Any] = (), **options: Any
    ) -> tuple[tuple[Continuation, ...], ResultBase]:
        """Render all messages of a call; return them with the result that they will have."""
        with self.remembered() as published:
            result: ResultBase = Signature.from_dict(signature, app=self.app).apply_async(args, **options)
            return tuple(self._continuation(queue, message, {}) for queue, message in published), result

    def arguments(self, message: Continuation) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the arguments of the task that a rendered message calls."""
        args, kwargs, _ = self.app.channel().message_to_python(json.loads(message.message)).decode()
        return args, kwargs

    def parts(self, body: Any, headers: Mapping[str, Any], properties: Mapping[str, Any], queue: str) -> Continuation:
        """Render a message from the parts that Celery's ``before_task_publish`` signal carries."""
        with self.remembered() as published, self.app.producer_or_acquire() as producer:
            producer.publish(
                body,
                exchange="",
                routing_key=queue,
                serializer=self.app.conf.task_serializer,
                headers=dict(headers),
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
        list_key = self.list_key(queue, message["properties"].get("priority"))
        return Continuation(list_key, json.dumps(message, separators=(",", ":")))

    def list_key(self, queue: str, priority: Any) -> str:
        """Return the Redis list that kombu's Redis transport uses for a queue and a message's priority."""
        options = self.app.conf.broker_transport_options
        steps = options.get("priority_steps", redis.PRIORITY_STEPS)
        urgency = priority_of(priority) or 0
        step = max((s for s in steps if s <= urgency), default=steps[0])
        name = f"{queue}{options.get('sep', redis.Channel.sep)}{step}" if step else queue
        return f"{options.get('global_keyprefix', '')}{name}"


def priority_of(value: Any) -> int | None:
    """Return the priority of a message, 0 to 9, as kombu reads it; None if it has none, or carries junk."""
    try:
        return max(0, min(int(value), _LOWEST_PRIORITY))
    except (TypeError, ValueError, OverflowError):
        return None


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
