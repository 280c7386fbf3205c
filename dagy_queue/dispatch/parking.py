"""The first pass of a launch: it is parked, and its continuation and place in the queue are in the ledger.

``dispatch/tasks.py`` calls :func:`park` for a message without an attempt header. The second pass is in
``dispatch/concluding.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from celery import Task, states
from kombu.utils.json import dumps

from dagy_queue.dispatch.endings import expired_in_queue
from dagy_queue.dispatch.limits import cpu_units_of
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import Problem, RequestInvalid, RunNotFound
from dagy_queue.ids import is_run_id
from dagy_queue.launching.placement import placement_of
from dagy_queue.ledger.errors import mapped
from dagy_queue.ledger.runs import CeleryState, Expiry, Place
from dagy_queue.messaging.publication import about_family, about_request, shown_kwargs
from dagy_queue.messaging.render import priority_of, run_blanks
from dagy_queue.messaging.states import PARKED_STATE, parked_state
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request
from dagy_queue.requests.templating import rendered

log = structlog.get_logger(__name__)


def park(services: Services, task: Task, request: Mapping[str, Any]) -> None:
    """First pass: record the continuation and the place in the queue. Makes no AWS call.

    A run that was cancelled before, or has expired, is resumed as such in the same step. Raises RequestInvalid.
    """
    run_id = task.request.id
    if not is_run_id(run_id):
        raise RequestInvalid([Problem("task_id", run_id, "1 to 56 letters, digits, '-' and '_'")])
    if _ended_long_ago(services, task):
        log.warning("run_ended_long_ago", run_id=run_id)
        return
    checked = read_request(request)
    kept = checked.in_json() | {"kind": checked.kind}
    kept["correlation_id"] = checked.correlation_id or run_id
    signature = task.signature_from_request()
    parent_id, root_id = task.request.parent_id, task.request.root_id
    blanks = {**run_blanks(), "parent_id": parent_id, "root_id": root_id}
    priority = priority_of((task.request.delivery_info or {}).get("priority")) or checked.priority
    services.runs.park(
        run_id,
        request=kept,
        continuation=services.renderer.signature(signature, blanks=blanks, kwargsrepr=shown_kwargs(kept)),
        place=place_of(services, checked, priority),
        expires=_expiry(task.request.expires),
        state=_state(services, task),
        about={**about_request(kept), **about_family(run_id, parent_id, root_id), **_unfilled(task, request)},
    )


def _unfilled(task: Task, request: Mapping[str, Any]) -> dict[str, str]:
    """Return the launch as it was published, if its request is another one by now, or would be if it were filled again.

    A retry publishes that: its templates are its own, and what came from another task is data that nobody fills in.
    """
    args, kwargs = list(task.request.args or ()), task.request.kwargs or {}
    if all(rendered(each, run_id="") == each for each in (kwargs.get("request") or {}, request)):
        return {}
    return {"unfilled": dumps({"args": args, "kwargs": kwargs})}


def _ended_long_ago(services: Services, task: Task) -> bool:
    """Tell whether a message comes whose run ended and is forgotten: its result is there.

    The broker delivered it again, or a worker has held it for its countdown, and the run was cancelled meanwhile.
    """
    request = task.request
    if not ((request.delivery_info or {}).get("redelivered") or request.eta):
        return False
    try:
        services.runs.get(request.id)
    except RunNotFound:
        return task.backend.get_state(request.id) in states.READY_STATES
    return False


def _state(services: Services, task: Task) -> CeleryState | None:
    """Return Celery's state of a parked run, for the ledger to store with it; a Redis of its own is told here.

    Never over a result: the message may have come again.
    """
    if task.request.ignore_result:
        return None
    state = parked_state(task.backend, task.request.id)
    apart = services.settings.redis.result_url
    if not apart:
        return state
    with mapped(apart):
        task.backend.client.set(state.key, state.value, ex=state.seconds, nx=True)
    return None


def mark_parked(task: Task) -> None:
    """Store that a run that is tried again is parked: before it can be launched, so that it overwrites no result."""
    if not task.request.ignore_result:
        task.update_state(state=PARKED_STATE)


def place_of(services: Services, request: LaunchRequest | ContainerRequest, priority: int) -> Place:
    """Return where a request waits for its launch."""
    return Place(
        pool=placement_of(request, services.settings).pool,
        org=request.org_id,
        priority=priority,
        cpu=cpu_units_of(request, services.settings),
        timeout=request.timeout,
    )


def _expiry(expires: str | datetime | None) -> Expiry | None:
    if not expires:
        return None
    moment = datetime.fromisoformat(expires) if isinstance(expires, str) else expires
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = max(0.0, (moment - datetime.now(UTC)).total_seconds())
    return Expiry(seconds, {"outcome": expired_in_queue().to_dict()})
