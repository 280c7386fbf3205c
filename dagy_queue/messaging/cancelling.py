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

from dagy_queue.errors import BatchNotFound, LedgerError, RedisUnavailable
from dagy_queue.ledger import BatchLedger, Cancelled, RedisConnection, RunLedger
from dagy_queue.outcomes.final_words import revoked
from dagy_queue.settings import RedisSettings

log = logging.getLogger(__name__)  # the application's own logging, not ours

REVOKED = "revoked"


def cancel_run(runs: RunLedger, run_id: str, reason: str = REVOKED, *, waiting_only: bool = False) -> Cancelled:
    """Cancel a run for a reason that people read; with ``waiting_only`` one that has, or gets, a container goes on.

    Raises RedisUnavailable.
    """
    found, _ = runs.cancel(run_id, reason, {"outcome": revoked(reason)}, waiting_only=waiting_only)
    return found


def cancel_task(runs: RunLedger, task_id: str, reason: str = REVOKED, *, terminate: bool) -> str:
    """Cancel the run or the batch that has this id; return what was found, ``unknown`` if neither has.

    Without ``terminate`` only what has no container yet is cancelled, and no batch. Raises RedisUnavailable.
    """
    found = cancel_run(runs, task_id, reason, waiting_only=not terminate)
    if found is not Cancelled.UNKNOWN or not terminate:
        return found.value
    try:
        return BatchLedger(runs.connection).cancel(task_id, reason)
    except BatchNotFound:
        return found.value


class RunControl(Control):
    """Celery's control, whose ``revoke`` cancels runs and batches in the ledger first.

    ``reason`` is what people read of it. With ``always_terminate`` a revoke stops what has started, too, as if it said
    ``terminate``.
    """

    def __init__(
        self, settings: RedisSettings, app: Any = None, *, reason: str = REVOKED, always_terminate: bool = False
    ) -> None:
        super().__init__(app)
        self._settings = settings
        self._reason = reason
        self._always_terminate = always_terminate

    def revoke(self, task_id: Any, destination: Any = None, terminate: bool = False, **options: Any) -> Any:
        """Cancel runs, and tell the workers, which know other tasks. Without ``terminate`` a started run goes on."""
        try:
            for each in maybe_list(task_id) or []:
                cancel_task(self._runs, str(each), self._reason, terminate=terminate or self._always_terminate)
        except (RedisUnavailable, LedgerError) as exc:
            # Without Redis the broadcast does not work either, and says so.
            log.warning("not cancelled in the ledger: %s", exc)
        return super().revoke(task_id, destination, terminate, **options)

    @cached_property
    def _runs(self) -> RunLedger:
        return RunLedger(RedisConnection(self._settings))
