"""A run's next attempt, from the plan of ``retries.py`` to what the ledger keeps, and back to the request it makes.

The second pass (``dispatch/concluding.py``) has it noted, the launcher applies it. Other capacity is another pool, so
the run waits in another lane and takes another slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dagy_queue.dispatch.limits import cpu_units_of
from dagy_queue.dispatch.retries import Budget, Retry
from dagy_queue.launching.placement import placement_of
from dagy_queue.ledger.attempts import NextAttempt, StoppedRun
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.changes import Change
from dagy_queue.requests.limits import ClusterLimits
from dagy_queue.settings import Settings

_SPOT = "FARGATE_SPOT"


def changed_request(
    settings: Settings, request: LaunchRequest | ContainerRequest, change: Mapping[str, Any]
) -> LaunchRequest | ContainerRequest:
    """Return a run's request as an attempt has it. ``change`` is what the ledger keeps of that."""
    return _applied(settings, request, Change.from_dict(change)) if change else request


def growth_limits(settings: Settings) -> ClusterLimits:
    """Return how large a run may grow."""
    return ClusterLimits(settings.ecs.max_cpu, settings.ecs.max_memory)


def next_attempt(
    settings: Settings,
    request: LaunchRequest | ContainerRequest,
    stopped: StoppedRun,
    retry: Retry,
    ended: Mapping[str, Any],
) -> NextAttempt:
    """Return what the ledger keeps of the next attempt; ``request`` is that of the attempt that ``ended``."""
    counted = "" if retry.budget is Budget.CODE else retry.budget.value
    before = Change.from_dict(stopped.change)
    new = replace(retry.change, on_demand=retry.change.on_demand and _is_on_spot(settings, request))
    if before | new == before:
        return NextAttempt(counted=counted, ended=ended)
    then = _applied(settings, request, new)
    pool = placement_of(then, settings).pool
    return NextAttempt(
        counted=counted,
        change=(before | new).to_dict(),
        pool="" if pool == placement_of(request, settings).pool else pool,
        cpu=None if new.cpu is None else cpu_units_of(then, settings),
        ended=ended,
    )


def _applied(
    settings: Settings, request: LaunchRequest | ContainerRequest, change: Change
) -> LaunchRequest | ContainerRequest:
    return change.apply(request, on_spot=_is_on_spot(settings, request))


def _is_on_spot(settings: Settings, request: LaunchRequest | ContainerRequest) -> bool:
    return any(item.get("capacityProvider") == _SPOT for item in placement_of(request, settings).strategy)
