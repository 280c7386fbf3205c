"""Cancelling runs, and Celery's ``control`` taught to do it: the wish is in the ledger before anybody is told.

Celery's ``revoke`` is a broadcast: workers that do not listen never hear of it. ``RunHandle.cancel``, the dispatchers'
``revoke`` command and the apps of ``messaging/app.py`` (with them Flower, and ``RunHandle.result.revoke()``) cancel
here. An application's own app is its own: its ``revoke`` reaches the dispatchers that listen.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from celery.app.control import Control
from celery.utils.functional import maybe_list

from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger import Cancelled, RedisConnection, RunLedger
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.settings import RedisSettings

log = logging.getLogger(__name__)  # the application's own logging, not ours

REVOKED = "revoked"


def cancel_run(runs: RunLedger, run_id: str, reason: str = REVOKED, *, waiting_only: bool = False) -> Cancelled:
    """Cancel a run for a reason that people read; with ``waiting_only`` one that has, or gets, a container goes on.

    Raises RedisUnavailable.
    """
    outcome = Outcome(kind=Kind.CANCELLED, summary=reason)
    found, _ = runs.cancel(run_id, reason, {"outcome": outcome.to_dict()}, waiting_only=waiting_only)
    return found


class RunControl(Control):
    """Celery's control, whose ``revoke`` cancels runs in the ledger first."""

    def __init__(self, settings: RedisSettings, app: Any = None) -> None:
        super().__init__(app)
        self._settings = settings

    def revoke(self, task_id: Any, destination: Any = None, terminate: bool = False, **options: Any) -> Any:
        """Cancel runs, and tell the workers, which know other tasks. Without ``terminate`` a started run goes on."""
        try:
            for each in maybe_list(task_id) or []:
                cancel_run(self._runs, str(each), waiting_only=not terminate)
        except RedisUnavailable as exc:
            log.warning("not cancelled in the ledger: %s", exc)  # nor will the broadcast work, which says so
        return super().revoke(task_id, destination, terminate, **options)

    @cached_property
    def _runs(self) -> RunLedger:
        return RunLedger(RedisConnection(self._settings))
