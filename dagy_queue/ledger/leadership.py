"""Who does what only one process does at a time: a lease by name, renewed while the work goes on.

The bridge's reconciler, recorder and monitor ask for it; ``dagy-queue doctor`` looks who has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dagy_queue.ids import new_id
from dagy_queue.ledger.connection import RedisConnection

RECORDER = "recorder"
"""The work that one recorder leads at a time; ``lua/history_done.lua`` knows the name."""
RECONCILER = "reconciler"
MONITOR = "monitor"


def held(connection: RedisConnection, *names: str) -> tuple[str, ...]:
    """Return which of these leases any process holds now. Raises RedisUnavailable."""
    with connection.errors():
        pipeline = connection.client.pipeline(transaction=False)
        for name in names:
            pipeline.exists(connection.key("lead", name))
        return tuple(name for name, is_held in zip(names, pipeline.execute(), strict=True) if is_held)


class Leadership:
    """One process's claim to a kind of work. ``prepare`` is called whenever the lease was taken or renewed."""

    def __init__(
        self,
        connection: RedisConnection,
        name: str,
        seconds: float,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        self._connection = connection
        self._name = name
        self._seconds = seconds
        self._prepare = prepare
        self._renew_at = 0.0
        self.owner = new_id()
        """Under which the lease is held; scripts that only the leader may run compare it."""

    def leads(self) -> bool:
        """Tell whether this process has the lease; it is renewed when a third of it has passed."""
        now = time.monotonic()
        if now < self._renew_at:
            return True
        if not self._hold(self._seconds):
            return False
        self._prepare()
        self._renew_at = now + self._seconds / 3
        return True

    def doubt(self) -> None:
        """Ask for the lease before the next :meth:`leads`: somebody else seems to have it."""
        self._renew_at = 0.0

    def resign(self) -> None:
        """Give the lease back, so that another process need not wait until it ends."""
        self._renew_at = 0.0
        self._hold(0)

    def _hold(self, seconds: float) -> bool:
        return bool(self._connection.run("lead", self._name, self.owner, int(seconds * 1000)))
