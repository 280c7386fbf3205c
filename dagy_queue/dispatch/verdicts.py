"""Why a run that ended badly gets no further attempt, and what to do then; pure.

The second pass (``dispatch/concluding.py``) asks once ``retries.py`` has planned none: the words of an outcome are
those of one attempt, and may promise a next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dagy_queue.dispatch.retries import Budget, budget_for
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.requests import ContainerRequest, LaunchRequest

_SPOT_INTERRUPTION = "SpotInterruption"


def without_another(request: LaunchRequest | ContainerRequest, outcome: Outcome, counts: Mapping[str, int]) -> Outcome:
    """Return the outcome of a run's last attempt: why no other follows, and a resolution that promises none.

    ``counts`` are the attempts that each budget has paid for.
    """
    budget = budget_for(request, outcome)
    if budget is None:
        why = _never_repeated(request, outcome)
        names_codes = outcome.kind is Kind.FAILED and bool(why)
        return replace(outcome, no_retry=why, resolution=_joined(outcome, why) if names_codes else outcome.resolution)
    used = counts.get(budget, 0)
    why = f"its {budget.value} ({used}) are used up" if used else f"its {budget.value} are 0"
    if budget is Budget.SPOT:
        resolution = f"{why}: raise them, or {_instead(outcome)}"
    elif budget is Budget.MEMORY:
        grow = "" if request.grow_on_oom else " together with `grow_on_oom`"
        resolution = f"{why}: choose more memory for the run, or raise them{grow}"
    else:
        resolution = _joined(outcome, f"{why}: raise them to have it tried again") if used else outcome.resolution
    return replace(outcome, no_retry=why, resolution=resolution)


def _never_repeated(request: LaunchRequest | ContainerRequest, outcome: Outcome) -> str:
    if outcome.kind is Kind.FAILED and outcome.exit_code is not None:
        codes = ", ".join(map(str, sorted(request.retry_on_exit_codes)))
        return f"exit code {outcome.exit_code} is not in its retry_on_exit_codes ({codes})"
    if outcome.kind is Kind.FAILED:
        return "only the exit codes in its retry_on_exit_codes are tried again, and it has none"
    return "this would fail again the same way" if outcome.kind is Kind.START_FAILED else ""


def _instead(outcome: Outcome) -> str:
    return "run it on FARGATE" if outcome.stop_code == _SPOT_INTERRUPTION else "launch it again"


def _joined(outcome: Outcome, why: str) -> str:
    return f"{outcome.resolution}; {why}" if outcome.resolution else why
