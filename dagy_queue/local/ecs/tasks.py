"""The record of one task and its state machine: statuses only ever move forward, and each change is a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STATUSES = (
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
)
SPOT = "FARGATE_SPOT"
_ORDER = {status: place for place, status in enumerate(STATUSES)}


class IllegalTransition(RuntimeError):
    """A task was asked to go back, or to change after it had stopped."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a task stops: ECS's stop code and its reason in words."""

    code: str
    reason: str


@dataclass(slots=True, kw_only=True, eq=False)
class TaskContainer:
    """One container of a task, as DescribeTasks tells it."""

    name: str
    arn: str
    image: str
    runtime_id: str
    essential: bool
    cpu: int = 0
    memory: int | None = None
    memory_reservation: int | None = None
    image_digest: str | None = None
    last_status: str = "PENDING"
    exit_code: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkInterface:
    """The elastic network interface of an awsvpc task."""

    attachment_id: str
    interface_id: str
    subnet: str
    mac: str
    address: str


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    """One task. Only :meth:`advance`, :meth:`request_stop` and :meth:`touch` change what its version counts."""

    arn: str
    id: str
    number: int
    cluster_arn: str
    cluster_name: str
    definition: Mapping[str, Any]
    launch_type: str
    capacity_provider: str | None
    platform_version: str | None
    cpu: int | None
    memory: int | None
    overrides: Mapping[str, Any]
    group: str
    started_by: str | None
    availability_zone: str
    enable_execute_command: bool
    ephemeral_gib: int | None
    containers: Sequence[TaskContainer]
    network: NetworkInterface | None
    created_at: float
    tags: dict[str, str] = field(default_factory=dict)
    last_status: str = STATUSES[0]
    desired_status: str = "RUNNING"
    version: int = 1
    updated_at: float = 0.0
    connected_at: float | None = None
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    started_at: float | None = None
    stopping_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    stop: Stop | None = None

    @property
    def family(self) -> str:
        """The family of the task's definition."""
        return str(self.definition["family"])

    @property
    def is_spot(self) -> bool:
        """Whether the task runs on Fargate Spot."""
        return self.capacity_provider == SPOT

    @property
    def is_stopped(self) -> bool:
        """Whether the task has come to its end."""
        return self.last_status == "STOPPED"

    @property
    def vcpus(self) -> float:
        """The vCPUs the task takes of the account's quota."""
        return (self.cpu or 0) / 1024

    def advance(self, status: str, now: float) -> None:
        """Move to a later status. Raises IllegalTransition if it is not later."""
        if _ORDER[status] <= _ORDER[self.last_status]:
            raise IllegalTransition(f"task {self.id}: {self.last_status} -> {status}")
        self.last_status = status
        if status == "RUNNING":
            self.started_at = now
        elif status == "STOPPED":
            self.stopped_at = now
        self.touch(now)

    def request_stop(self, stop: Stop, now: float) -> bool:
        """Want the task stopped. Only the first wish counts; tells whether this was it."""
        if self.desired_status == "STOPPED":
            return False
        self.desired_status = "STOPPED"
        self.stop = stop
        self.stopping_at = now
        self.touch(now)
        return True

    def touch(self, now: float) -> None:
        """Count a change."""
        self.version += 1
        self.updated_at = now
