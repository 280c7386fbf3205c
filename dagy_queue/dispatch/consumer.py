"""The consumer of a dispatcher's Celery worker: it outlives a connection that is lost, and what is no message.

``dispatch/celery_settings.py`` names it to Celery. Celery 5.7 takes a lost connection apart, and kombu fails on what
is left of it with an AttributeError, which ends the worker: when it puts messages back as the connection is closed,
and when a pass that has ended meanwhile acknowledges its own. What another program has put into a list of ours, and
kombu cannot read, ends Celery's worker as well; here it costs a new connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from celery.worker import loops
from celery.worker.consumer import Consumer

log = structlog.get_logger(__name__)

_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)
"""What kombu raises of text that is no JSON, and of JSON that is no message."""


class PassConsumer(Consumer):
    """A consumer that lets go of a lost connection: the passes whose messages came by it go on."""

    def loop(self, *args: Any) -> None:
        """Read messages until the connection is lost. One that cannot be read is gone, and loses it."""
        read = loops.asynloop if self.hub else loops.synloop
        try:
            read(*args)
        except _UNREADABLE as exc:
            log.exception("message_unreadable")
            raise ConnectionResetError(f"what came is no message: {exc!r}") from exc

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Take the lost connection apart; Celery calls it, and connects again."""
        channel = getattr(self.task_consumer, "channel", None)
        if channel is not None:
            channel.do_restore = False
        super().on_connection_error_after_connected(exc)

    def call_soon_ack(self, p: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Acknowledge or reject a message, from the loop."""
        return super().call_soon_ack(_unless_gone, p, *args, **options)


def _unless_gone(acknowledge: Callable[..., Any], *args: Any, **options: Any) -> None:
    """A message whose connection is gone stays unacknowledged: it comes again some time, and changes nothing."""
    try:
        acknowledge(*args, **options)
    except AttributeError as exc:
        log.warning("message_not_acknowledged", error=str(exc))
