"""The limits that operators set on one run of a cluster (``ecs.max_cpu``, ``ecs.max_memory``); pure.

Producers check a request by them before it is published, and the planner checks it again with its task definition.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagy_queue.errors import Problem, RequestInvalid


@dataclass(frozen=True, slots=True)
class ClusterLimits:
    """The largest run: CPU units and MiB; None is no limit."""

    max_cpu: int | None = None
    max_memory: int | None = None

    def allow(self, cpu: int, memory: int) -> bool:
        """Tell whether a run may be so large."""
        return cpu <= (self.max_cpu or cpu) and memory <= (self.max_memory or memory)

    def check(self, cpu: int | None, memory: int | None) -> None:
        """Raise RequestInvalid if a run is larger. A size of None is not known here."""
        problems = [
            Problem(name, value, f"at most {most}, the cluster's limit (DAGY_QUEUE__ECS__MAX_{name.upper()})")
            for name, value, most in (("cpu", cpu, self.max_cpu), ("memory", memory, self.max_memory))
            if value is not None and most is not None and value > most
        ]
        if problems:
            raise RequestInvalid(problems)
