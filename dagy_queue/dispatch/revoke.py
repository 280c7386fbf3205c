"""Celery's ``revoke`` command, taught about parked runs: Flower's buttons and ``AsyncResult.revoke`` use it.

Celery's own handler knows the tasks a worker holds; a parked run is held by none. For runs of the ledger this one
cancels in the ledger, and a pump stops the ECS task; every other task is left to Celery's handler. All dispatchers
get the command; the ledger lets one of them act.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery.utils.functional import maybe_list
from celery.worker import control

from dagy_queue.errors import LedgerError, RedisUnavailable
from dagy_queue.ledger import Cancelled, RunLedger
from dagy_queue.messaging.cancelling import cancel_task

log = structlog.get_logger(__name__)


def install(runs: RunLedger) -> None:
    """Replace the ``revoke`` command of the workers in this process."""
    native = control.revoke

    def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **kwargs: Any) -> Any:
        ids = [str(each) for each in maybe_list(task_id) or []]
        parked = {each for each in ids if _cancel(runs, each, terminate=terminate)}
        others = [each for each in ids if each not in parked]
        if others or not ids:
            return native(state, others, terminate=terminate, signal=signal, **kwargs)
        return control.ok(f"runs {', '.join(ids)} flagged as revoked")

    control.Panel.data["revoke"] = revoke


def _cancel(runs: RunLedger, run_id: str, *, terminate: bool) -> bool:
    """Cancel a run or a batch if it is one of ours. Without ``terminate`` a started one goes on, as Celery has it."""
    try:
        found = cancel_task(runs, run_id, terminate=terminate)
    except (RedisUnavailable, LedgerError) as exc:
        log.warning("run_not_cancelled", run_id=run_id, error=str(exc))
        return False
    log.info("cancel", run_id=run_id, found=found)
    return found != Cancelled.UNKNOWN
