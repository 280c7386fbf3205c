"""What the next attempt of a run has otherwise than its request says: more memory, or capacity that stays; pure.

``dispatch/retries.py`` plans a change, the ledger keeps it with the run, and the dispatcher lays it over the request:
it counts more than anything but ``run_task_kwargs``. Changes stay: what grew once is not made smaller again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from dagy_queue.requests.models import ContainerRequest, LaunchRequest
from dagy_queue.requests.overrides import ContainerOverride

FARGATE = "FARGATE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What differs from the request; by itself nothing does."""

    cpu: int | None = None
    memory: int | None = None
    """CPU units and MiB of the task; both or neither."""
    on_demand: bool = False
    """Instead of FARGATE_SPOT it is FARGATE."""

    def __or__(self, later: Change) -> Change:
        """Return both changes as one; the later one counts more."""
        size = (later.cpu, later.memory) if later.memory is not None else (self.cpu, self.memory)
        return Change(cpu=size[0], memory=size[1], on_demand=self.on_demand or later.on_demand)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form that the ledger keeps: {} if nothing changes."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the plain form; unknown keys are left out."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def apply(self, request: LaunchRequest | ContainerRequest, *, on_spot: bool) -> LaunchRequest | ContainerRequest:
        """Return the request as the next attempt has it.

        ``on_spot`` says whether it would run on FARGATE_SPOT, by its own strategy or the settings'.
        """
        values: dict[str, Any] = {}
        if self.memory is not None:
            values = {"cpu": self.cpu, "memory": self.memory, "workload_profile": None}
            if request.size is not None and request.container_overrides:
                values["container_overrides"] = _with_more(request, self.memory - request.size[1])
        if self.on_demand and on_spot:
            values |= {"launch_type": FARGATE, "capacity_provider_strategy": ()}
        return request.model_copy(update=values) if values else request


def _with_more(request: LaunchRequest | ContainerRequest, mib: int) -> tuple[ContainerOverride, ...]:
    """Raise the working container's own limit, if the request gives it one, as the task grows."""
    limited = [override.name for override in request.container_overrides if override.memory is not None]
    worker = request.container_name or (limited[0] if len(limited) == 1 else "")
    return tuple(
        override.model_copy(update={"memory": override.memory + mib})
        if override.name == worker and override.memory is not None
        else override
        for override in request.container_overrides
    )
