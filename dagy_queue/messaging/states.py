"""Celery's state of a parked run, as its result backend keeps it; the dispatcher stores it when it parks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dagy_queue.ledger.runs import CeleryState

PARKED_STATE = "PARKED"
"""Celery state of a parked run. With PENDING, any worker on the broker that hears a revoke would mark the run REVOKED
at once, although its container goes on (``celery.worker.control``); states of one's own it leaves alone."""


_PARK_ALL = """
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1], 'NX') end
"""


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


def mark_all_parked(backend: Any, run_ids: Sequence[str]) -> None:
    """Store the entries of parked runs in one round trip; what there is of a run already stays as it is."""
    blank = parked_state(backend, "@")
    values = [blank.value.replace('"@"', f'"{run_id}"') for run_id in run_ids]
    keys = [backend.get_key_for_task(run_id) for run_id in run_ids]
    backend.client.register_script(_PARK_ALL)(keys=keys, args=[blank.seconds, *values])


def revoked_results(backend: Any, reason: str, *, same_redis: bool) -> CeleryState:
    """Return what Celery keeps of any revoked task: with a blank for its id, and the key without it.

    The key is empty where results are in a Redis of their own, which the ledger's scripts cannot reach.
    """
    error = {"exc_type": "TaskRevokedError", "exc_message": [reason], "exc_module": "celery.exceptions"}
    meta: dict[str, Any] = {
        "status": "REVOKED",
        "result": error,
        "traceback": None,
        "children": [],
        "task_id": "@dagy:id@",
    }
    prefix = backend.get_key_for_task("x")[:-1]
    key = prefix.decode() if isinstance(prefix, bytes) else str(prefix)
    return CeleryState(key if same_redis else "", json.dumps(meta), int(backend.expires))
