"""Whether a run that ended badly gets another attempt, when, and what is different then; pure but for the jitter.

The second pass (``dispatch/concluding.py``) asks :func:`plan_retry`, the ledger keeps the counts. Each kind of end has
a budget of its own, a field of the request:

- failed, timed_out, lost: ``max_retries``, of failures only those that ``retry_on_exit_codes`` names
- out_of_memory: ``oom_retries``, with more memory if ``grow_on_oom`` says so
- spot: ``spot_retries``, at once; on demand after ``spot_fallback_after`` interruptions
- start_failed, if the reason is one that passes: ``start_retries``
- cancelled, and a capacity that was waited for as long as ``dispatch.start_timeout`` allows: none
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.changes import Change
from dagy_queue.requests.limits import ClusterLimits
from dagy_queue.requests.sizes import next_larger

_LONGEST_DELAY = 3600.0
_MAX_DOUBLINGS = 30


class Budget(StrEnum):
    """The budgets, by the names of their fields."""

    CODE = "max_retries"
    MEMORY = "oom_retries"
    SPOT = "spot_retries"
    START = "start_retries"


_BUDGETS = {
    Kind.FAILED: Budget.CODE,
    Kind.TIMED_OUT: Budget.CODE,
    Kind.LOST: Budget.CODE,
    Kind.OUT_OF_MEMORY: Budget.MEMORY,
    Kind.SPOT: Budget.SPOT,
    Kind.START_FAILED: Budget.START,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Another attempt: which budget pays for it, in how many seconds, and what it has otherwise than this one."""

    budget: Budget
    delay: float
    change: Change


def plan_retry(
    request: LaunchRequest | ContainerRequest,
    outcome: Outcome,
    counts: Mapping[str, int],
    limits: ClusterLimits | None = None,
) -> Retry | None:
    """Return the next attempt; None if there is none.

    ``counts`` are the attempts that each budget has paid for. ``limits`` are how large a run may grow.
    """
    budget = budget_for(request, outcome)
    if budget is None:
        return None
    used = counts.get(budget, 0)
    if used >= getattr(request, budget):
        return None
    delay = 0.0 if budget is Budget.SPOT else backoff(request.retry_delay, used)
    return Retry(budget=budget, delay=delay, change=_change(request, outcome, used, limits or ClusterLimits()))


def is_skipped(request: LaunchRequest | ContainerRequest, outcome: Outcome) -> bool:
    """Tell whether a run that failed ends as skipped."""
    return outcome.kind is Kind.FAILED and outcome.exit_code in request.skip_on_exit_code


def backoff(base: float, times: int) -> float:
    """Return a wait after ``times`` retries: full jitter, so that what failed together does not come back together."""
    return random.uniform(0, min(_LONGEST_DELAY, base * 2 ** min(times, _MAX_DOUBLINGS)))


def budget_for(request: LaunchRequest | ContainerRequest, outcome: Outcome) -> Budget | None:
    """Return the budget that would pay for another attempt; None if such an end is never tried again."""
    if outcome.kind is Kind.START_FAILED and not outcome.transient:
        return None
    codes = request.retry_on_exit_codes
    if outcome.kind is Kind.FAILED and codes and outcome.exit_code not in codes:
        return None
    return _BUDGETS.get(outcome.kind)


def _change(request: LaunchRequest | ContainerRequest, outcome: Outcome, used: int, limits: ClusterLimits) -> Change:
    if outcome.kind is Kind.SPOT:
        return Change(on_demand=used + 1 >= request.spot_fallback_after)
    if outcome.kind is not Kind.OUT_OF_MEMORY or not request.grow_on_oom:
        return Change()
    # What ECS tells counts: a task definition or run_task_kwargs may say more than the request.
    size = (outcome.cpu, outcome.memory) if outcome.cpu and outcome.memory else request.size
    larger = next_larger(*size) if size else None
    if larger is None or not limits.allow(*larger):
        return Change()  # there is nothing larger: once more as it is
    return Change(cpu=larger[0], memory=larger[1])
