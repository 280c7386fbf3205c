"""A stopped ECS task as plain values: what the event of its end says of it and of its containers; pure.

``tasks.py`` reads one from an event or an answer of DescribeTasks, ``classify.py`` judges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedContainer:
    """A container of a stopped task. Without an exit code nobody saw it end, or it never ran."""

    name: str
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedTask:
    """A stopped task."""

    task_arn: str
    stop_code: str = ""
    stopped_reason: str = ""
    containers: Sequence[StoppedContainer] = ()
    has_run: bool = False
    """The task was running before: its containers had started."""
    cpu: int | None = None
    """CPU units of the task."""
    memory: int | None = None
    """MiB of the task."""

    def container(self, name: str) -> StoppedContainer | None:
        """Return the container of a name."""
        return next((container for container in self.containers if container.name == name), None)

    def others(self, name: str) -> list[StoppedContainer]:
        """Return the containers of other names: the sidecars."""
        return [container for container in self.containers if container.name != name]
