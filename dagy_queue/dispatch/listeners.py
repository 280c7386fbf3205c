"""Celery's ``heartbeat`` command, which a monitor broadcasts when it begins to listen: Flower as it starts, and again
when its connection was lost.

What was announced before it listened is lost to it, so everything that is still known is announced once more, by the
bridge. All dispatchers get the command; the ledger lets one of them ask.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery.worker import control

from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger.watching import WatchLedger

log = structlog.get_logger(__name__)


def install(watch: WatchLedger) -> None:
    """Put our part before the ``heartbeat`` command of the workers in this process."""
    native = control.heartbeat

    def heartbeat(state: Any) -> Any:
        try:
            watch.ask_again()
        except RedisUnavailable as exc:
            log.warning("runs_not_announced_again", error=str(exc))
        return native(state)

    control.Panel.data["heartbeat"] = heartbeat
