"""The limits that operators set on one run of a cluster (``ecs.max_cpu``, ``ecs.max_memory``); pure.

Producers check a request by them before it is published, and the planner checks it again with its task definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.sizes import units_of


@dataclass(frozen=True, slots=True)
class ClusterLimits:
    """The largest run: CPU units and MiB; None is no limit."""

    max_cpu: int | None = None
    max_memory: int | None = None

    def allow(self, cpu: int, memory: int) -> bool:
        """Tell whether a run may be so large."""
        return cpu <= (self.max_cpu or cpu) and memory <= (self.max_memory or memory)

    def check_task(self, cpu: int | None, memory: int | None, run_task_kwargs: Mapping[str, Any]) -> None:
        """Raise RequestInvalid if a task is larger."""
        self.check(*size_with(run_task_kwargs, cpu, memory))

    def check(self, cpu: int | None, memory: int | None) -> None:
        """Raise RequestInvalid if a run is larger. A size of None is not known here."""
        problems = [
            Problem(name, value, f"at most {most}, the cluster's limit (DAGY_QUEUE__ECS__MAX_{name.upper()})")
            for name, value, most in (("cpu", cpu, self.max_cpu), ("memory", memory, self.max_memory))
            if value is not None and most is not None and value > most
        ]
        if problems:
            raise RequestInvalid(problems)


def size_with(run_task_kwargs: Mapping[str, Any], cpu: int | None, memory: int | None) -> tuple[int | None, int | None]:
    """Return a task's CPU units and MiB: what ``run_task_kwargs`` overrides counts before the size given."""
    overrides = run_task_kwargs.get("overrides") or {}
    return units_of(str(overrides.get("cpu") or "")) or cpu, units_of(str(overrides.get("memory") or "")) or memory
