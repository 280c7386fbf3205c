"""The shapes of the API's answers, which are also what its OpenAPI document says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dagy_queue.operate.api.desk import Answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Base of the answers."""

    def answer(self, status: int = 200) -> Answer:
        """Return it as a response."""
        return Answer(asdict(self), status)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunAccepted(Shape):
    """A launch that was accepted. ``task_arn`` is null while the run is queued."""

    run_id: str
    task_arn: str | None
    correlation_id: str
    success: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatusAnswer(Shape):
    """How a run is doing. Times are ISO 8601 in UTC."""

    run_id: str
    org_id: str
    flow_name: str
    flow_version: str
    status: str
    """QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED."""
    phase: str
    attempt: int
    correlation_id: str
    batch_id: str
    shard: int | None
    task_arn: str
    created_at: str | None
    started_at: str | None
    completed_at: str | None
    error_message: str | None
    outcome: Mapping[str, Any] | None
    """How the last attempt that ended did, and what to do about it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult(Shape):
    """What a run that succeeded returned."""

    run_id: str
    result: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancelling(Shape):
    """A wish to cancel that was noted; ``status`` is from before it."""

    id: str
    status: str
    success: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchAccepted(Shape):
    """A fan-out that was accepted. ``total`` is 0 while a manifest is not counted."""

    batch_id: str
    correlation_id: str
    total: int
    success: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchStatus(Shape):
    """How far a batch is."""

    batch_id: str
    org_id: str
    flow_name: str
    correlation_id: str
    created_at: str
    total: int
    is_counted: bool
    done: int
    failed: int
    is_over: bool
    by_status: dict[str, int]
    error_message: str | None
    """Why its manifest cannot be run, or that it was cancelled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardAnswer(Shape):
    """One shard of a batch; ``status`` is null while it goes on.

    ``is_kept`` is false where it has ended, and what it returned is not kept any more; ``status`` may be null then.
    """

    index: int
    run_id: str
    status: str | None
    result: Any
    is_kept: bool
    error_message: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardPage(Shape):
    """Some shards of a batch, in order."""

    batch_id: str
    shards: list[ShardAnswer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrong:
    """One thing that is wrong with a request."""

    field: str
    value: Any
    allowed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed(Shape):
    """Why there is no other answer; ``problems`` are what is wrong with the request."""

    error: str
    problems: list[Wrong] | None = None
    success: bool | None = None
    """False where something was to be done."""

    def answer(self, status: int = 400, headers: dict[str, str] | None = None) -> Answer:
        """Return it as a response, without what it doesn't say."""
        return Answer({name: value for name, value in asdict(self).items() if value is not None}, status, headers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Healthy(Shape):
    """The process answers, or (of ``/ready``) can do its work."""

    status: str
