"""Who does what only one process does at a time: a lease by name, renewed while the work goes on.

The bridge's reconciler asks for it (``bridge/reconciler.py``).
"""

from __future__ import annotations

import time

from dagy_queue.ids import new_id
from dagy_queue.ledger.connection import RedisConnection


class Leadership:
    """One process's claim to a kind of work."""

    def __init__(self, connection: RedisConnection, name: str, seconds: float) -> None:
        self._connection = connection
        self._name = name
        self._seconds = seconds
        self._owner = new_id()
        self._renew_at = 0.0

    def leads(self) -> bool:
        """Tell whether this process has the lease; it is renewed when a third of it has passed."""
        now = time.monotonic()
        if now < self._renew_at:
            return True
        if not self._connection.run("lead", self._name, self._owner, int(self._seconds * 1000)):
            return False
        self._renew_at = now + self._seconds / 3
        return True

    def resign(self) -> None:
        """Give the lease back, so that another process need not wait until it ends."""
        self._renew_at = 0.0
        key = self._connection.key("lead", self._name)
        with self._connection.errors():
            if self._connection.client.get(key) == self._owner:
                self._connection.client.delete(key)
