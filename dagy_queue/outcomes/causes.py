"""The form of the tables of diagnoses: a cause is a pattern in what ECS says, and what it means; pure.

``start_causes.py``, ``pull_causes.py`` and ``stop_causes.py`` are such tables, ``classify.py`` looks things up in them.
In each the first row that matches counts, so that a special case stands above the general one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dagy_queue.outcomes.outcome import Kind


@dataclass(frozen=True, slots=True)
class Cause:
    """What a reason of ECS means: the kind of end, whether the same attempt may well succeed when it is repeated, one
    line on what happened, and what to do about it."""

    pattern: re.Pattern[str]
    kind: Kind
    transient: bool
    summary: str
    resolution: str


def start_failure(pattern: str, summary: str, resolution: str) -> Cause:
    """Return a reason why a task does not start, and will not start the next time either."""
    return Cause(_compiled(pattern), Kind.START_FAILED, transient=False, summary=summary, resolution=resolution)


def passing_start_failure(pattern: str, summary: str, resolution: str) -> Cause:
    """Return a reason why a task did not start that may be gone the next time."""
    return Cause(_compiled(pattern), Kind.START_FAILED, transient=True, summary=summary, resolution=resolution)


def stopped(pattern: str, kind: Kind, summary: str, resolution: str) -> Cause:
    """Return a reason why a task was stopped from outside."""
    return Cause(_compiled(pattern), kind, transient=kind is Kind.SPOT, summary=summary, resolution=resolution)


def cause_of(text: str, causes: Iterable[Cause]) -> Cause | None:
    """Return the first cause whose pattern is in a text."""
    return next((cause for cause in causes if cause.pattern.search(text)), None)


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
