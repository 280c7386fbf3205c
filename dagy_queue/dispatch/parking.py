"""The first pass of a launch: it is parked, and its continuation and place in the queue are in the ledger.

``dispatch/tasks.py`` calls :func:`park` for a message without an attempt header. The second pass is in
``dispatch/concluding.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from celery import Task

from dagy_queue.dispatch.limits import cpu_units_of
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.ids import is_run_id
from dagy_queue.launching.placement import placement_of
from dagy_queue.ledger.runs import CeleryState, Parked, Place
from dagy_queue.messaging.publication import about_request
from dagy_queue.messaging.render import run_blanks
from dagy_queue.messaging.states import PARKED_STATE, parked_state
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request


class Revoked(Exception):
    """The run ends as revoked, for the reason given."""


def park(services: Services, task: Task, request: Mapping[str, Any]) -> None:
    """First pass: record the continuation and the place in the queue. Makes no AWS call.

    Raises Revoked (it was cancelled before) or RequestInvalid.
    """
    run_id = task.request.id
    if not is_run_id(run_id):
        raise RequestInvalid([Problem("task_id", run_id, "1 to 56 letters, digits, '-' and '_'")])
    checked = read_request(request)
    kept = checked.model_dump(mode="json", exclude_defaults=True) | {"kind": checked.kind}
    kept["correlation_id"] = checked.correlation_id or run_id
    signature = task.signature_from_request()
    blanks = {**run_blanks(), "parent_id": task.request.parent_id, "root_id": task.request.root_id}
    priority = (task.request.delivery_info or {}).get("priority") or checked.priority
    found = services.runs.park(
        run_id,
        request=kept,
        continuation=services.renderer.signature(signature, blanks=blanks),
        place=place_of(services, checked, priority),
        expires_in=_seconds_left(task.request.expires),
        state=_state(services, task),
        about=about_request(kept),
    )
    if found is Parked.CANCELLED:
        raise Revoked("cancelled before it was launched")


def _state(services: Services, task: Task) -> CeleryState | None:
    """Return Celery's state of a parked run, for the ledger to store with it; a Redis of its own is told here."""
    if task.request.ignore_result:
        return None
    if services.settings.redis.result_url:
        mark_parked(task)
        return None
    return parked_state(task.backend, task.request.id)


def mark_parked(task: Task) -> None:
    """Store that the run is parked: before it can be launched, so that this never overwrites a result."""
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


def _seconds_left(expires: str | datetime | None) -> float | None:
    if not expires:
        return None
    moment = datetime.fromisoformat(expires) if isinstance(expires, str) else expires
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
