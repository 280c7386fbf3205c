"""Capacity provider strategies, in the form of ECS's API, and what runs on Fargate; pure.

The settings and the request models check theirs with :func:`check_strategy`. Limits are those of the ECS API
reference (CapacityProviderStrategyItem) and of "Amazon ECS capacity providers".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dagy_queue.requests.refusals import allowed
from dagy_queue.requests.whole_numbers import Whole

MAX_ITEMS = 20
MAX_WEIGHT = 1000
MAX_BASE = 100_000

_FARGATE = frozenset({"FARGATE", "FARGATE_SPOT"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


class CapacityProvider(BaseModel):
    """One item of a strategy: which provider, its share of the tasks, and how many tasks go to it first."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    capacity_provider: str = Field(alias="capacityProvider")
    weight: Whole = Field(0, ge=0, le=MAX_WEIGHT)
    base: Whole = Field(0, ge=0, le=MAX_BASE)

    @field_validator("capacity_provider")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise allowed("FARGATE, FARGATE_SPOT or the name of a capacity provider: letters, digits, '-' and '_'")
        return value


def check_strategy(items: Sequence[CapacityProvider]) -> None:
    """Raise unless ECS takes the items together as a strategy; no items are none."""
    if len(items) > MAX_ITEMS:
        raise allowed(f"at most {MAX_ITEMS} capacity providers; {len(items)} given")
    if based := [item.capacity_provider for item in items if item.base][1:]:
        raise allowed(f"only one capacity provider can have a base; {', '.join(based)} has one too")
    if len(items) > 1 and not any(item.weight for item in items):
        raise allowed("at least one weight above 0 (a weight that is left out is 0, as in ECS's API)")
    if len({item.capacity_provider in _FARGATE for item in items}) > 1:
        raise allowed("either Fargate's providers (FARGATE, FARGATE_SPOT) or others: ECS does not mix them")


def may_be_on_fargate(launch_type: str | None, strategy: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether Fargate runs a task, as far as is known; a strategy, in the form of ECS's API, counts before a type.

    Where neither is given, it may.
    """
    if providers := [item.get("capacityProvider") for item in strategy]:
        return _FARGATE.issuperset(providers)
    return launch_type in (None, "", "FARGATE")
