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

from dagy_queue.dispatch.services import Services
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger import Cancelled
from dagy_queue.outcomes import Kind, Outcome

log = structlog.get_logger(__name__)

REVOKED = "revoked"


class Canceller:
    """Cancels runs in the ledger; where there is a task, a pump stops it."""

    def __init__(self, services: Services) -> None:
        self._runs = services.runs

    def cancel(self, run_id: str, reason: str, *, waiting_only: bool = False) -> Cancelled:
        """Cancel a run; with ``waiting_only`` one that has a container goes on. Raises RedisUnavailable."""
        outcome = Outcome(kind=Kind.CANCELLED, summary=reason)
        found, _ = self._runs.cancel(run_id, reason, {"outcome": outcome.to_dict()}, waiting_only=waiting_only)
        log.info("cancel", run_id=run_id, found=found.value)
        return found


def install(canceller: Canceller) -> None:
    """Replace the ``revoke`` command of the workers in this process."""
    native = control.revoke

    def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **kwargs: Any) -> Any:
        ids = [str(each) for each in maybe_list(task_id) or []]
        parked = {each for each in ids if _cancel(canceller, each, terminate=terminate)}
        others = [each for each in ids if each not in parked]
        if others or not ids:
            return native(state, others, terminate=terminate, signal=signal, **kwargs)
        return control.ok(f"runs {', '.join(ids)} flagged as revoked")

    control.Panel.data["revoke"] = revoke


def _cancel(canceller: Canceller, run_id: str, *, terminate: bool) -> bool:
    """Cancel a run if it is one of ours. Without ``terminate`` a started one goes on, as Celery has it."""
    try:
        found = canceller.cancel(run_id, REVOKED, waiting_only=not terminate)
    except RedisUnavailable as exc:
        log.warning("run_not_cancelled", run_id=run_id, error=str(exc))
        return False
    return found is not Cancelled.UNKNOWN
