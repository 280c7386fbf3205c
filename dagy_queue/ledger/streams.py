"""Turns the streams of changes on and off: the history, and what monitors watch. Their ledgers call it for the bridge.

Scripts add to them (``lua/common/keys.lua``) unless a bridge that does not want them has turned them off, so that
what changes before the first bridge has started is not missed.
"""

from __future__ import annotations

from dagy_queue.ledger.connection import RedisConnection

OFF_SECONDS = 300.0
"""For how long a stream stays off unless it is turned off again: bridges may be gone that did not want it."""


def turn_on(connection: RedisConnection, stream: str) -> None:
    """See to it that changes are added to a stream. Raises RedisUnavailable."""
    with connection.errors():
        connection.client.delete(f"{stream}:off")


def turn_off(connection: RedisConnection, work: str, stream: str, *others: str) -> bool:
    """Forget a stream, and other keys with it; add nothing until it is turned on, or for five minutes.

    Returns False, and changes nothing, while some bridge leads the work that reads it. Raises RedisUnavailable.
    """
    return bool(connection.run("turn_off", work, stream, int(OFF_SECONDS * 1000), *others))
