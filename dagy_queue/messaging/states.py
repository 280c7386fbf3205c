"""Celery's state of a parked run, as its result backend keeps it; the dispatcher stores it when it parks."""

from __future__ import annotations

import json
from typing import Any

from dagy_queue.ledger.runs import CeleryState

PARKED_STATE = "PARKED"
"""Celery state of a parked run. With PENDING, any worker on the broker that hears a revoke would mark the run REVOKED
at once, although its container goes on (``celery.worker.control``); states of one's own it leaves alone."""


def parked_state(backend: Any, run_id: str) -> CeleryState:
    """Return the entry of a parked run in a Redis result backend."""
    meta: dict[str, Any] = {
        "status": PARKED_STATE,
        "result": None,
        "traceback": None,
        "children": [],
        "task_id": run_id,
    }
    return CeleryState(backend.get_key_for_task(run_id), json.dumps(meta), int(backend.expires))
