"""What a runtime is: something that starts a container's plan and tells when and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where a container's output goes."""

    group: str
    stream: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlan:
    """Everything needed to start one container of one task."""

    task_id: str
    name: str
    image: str
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = ""
    stop_timeout: float = 30.0
    log: LogTarget | None = None

    @property
    def key(self) -> str:
        """A name for the container that no other container has."""
        return f"{self.task_id}-{self.name}"


@dataclass(frozen=True, slots=True)
class ContainerExit:
    """How a container ended. No code means that nobody saw it end."""

    code: int | None
    reason: str | None = None


class StartError(Exception):
    """A container could not be started. The message is the reason as ECS words it."""


class RunningContainer(Protocol):
    """A container that has been started."""

    @property
    def exited(self) -> asyncio.Future[ContainerExit]:
        """Done once the container has ended and all its output has been handed to the log sink."""

    def signal(self, number: int) -> None:
        """Send a signal to the main process; SIGKILL reaches everything it started. Harmless after the end."""


class Runtime(Protocol):
    """Starts containers."""

    async def start(self, plan: ContainerPlan) -> RunningContainer:
        """Start a container. Raises StartError."""

    async def close(self) -> None:
        """Kill everything that still runs, and release what the runtime holds."""


def exit_code(status: int) -> int:
    """Return a container's exit code for a Python returncode: 128 + n for a process killed by signal n."""
    return 128 - status if status < 0 else status
