"""What a launcher answers: the guide's DagLaunchResult, and the status of a run as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from dagy_queue.errors import DagyQueueError


@dataclass(frozen=True, kw_only=True)
class DagLaunchResult:
    """What became of a launch."""

    success: bool
    """True if the run was accepted: queued, or with ``wait="submitted"`` and in direct mode, taken by ECS. It may
    still fail."""
    run_id: str
    flow_name: str
    """The flow, or the image or task definition of a container."""
    task_arn: str | None = None
    """The ECS task, once it is known."""
    correlation_id: str = ""
    error_message: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The request's."""
    error: DagyQueueError | None = field(default=None, compare=False, repr=False)

    def raise_for_error(self) -> None:
        """Raise the error of a launch that failed."""
        if self.error is not None:
            raise self.error


class RunStatusReport(TypedDict):
    """The status of a run, ready for JSON. Times are ISO 8601 in UTC."""

    run_id: str
    org_id: str
    flow_name: str
    flow_version: str
    """The version that runs: what 'latest' meant at the first launch. Not settled before that ('' or 'latest')."""
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
    """How the last attempt ended, as :meth:`Outcome.to_dict` has it; None before the first one has."""
