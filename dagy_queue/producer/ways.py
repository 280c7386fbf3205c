"""The two ways to launch, as ``DagLauncher`` sees them: by the queue, or directly. And what both answer with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dagy_queue.errors import DagyQueueError
from dagy_queue.producer.celery_options import CeleryOptions
from dagy_queue.producer.explanation import Explanation
from dagy_queue.producer.results import DagLaunchResult, RunStatusReport
from dagy_queue.requests import LaunchRequest, RunRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """One launch that was asked for: its request, or why there is none."""

    run_id: str
    request: RunRequest | None
    refused: DagLaunchResult | None = None
    own_id: bool = False
    """Whether the caller gave the run its id."""


class Way(Protocol):
    """A way to launch."""

    def launch(
        self, asked: Sequence[Asked], *, wait: bool, options: CeleryOptions | None = None
    ) -> list[DagLaunchResult]:
        """Launch what can be launched; the results are in the order asked. Raises nothing of ours."""

    def explain(self, run_id: str) -> Explanation | None:
        """Return how a run ended and what happens next; None if it isn't known."""

    def status(self, run_id: str) -> RunStatusReport | None:
        """Return the status of a run; None if it isn't known."""


def launched(run_id: str, request: RunRequest, task_arn: str | None = None) -> DagLaunchResult:
    """Return the result of a launch that was accepted."""
    return DagLaunchResult(
        success=True,
        run_id=run_id,
        flow_name=flow_name_of(request),
        task_arn=task_arn,
        correlation_id=request.correlation_id or run_id,
        metadata=request.metadata,
    )


def failed(run_id: str, request: RunRequest, error: DagyQueueError) -> DagLaunchResult:
    """Return the result of a launch whose request was right, and which failed."""
    result = refused(run_id, flow_name_of(request), error, correlation_id=request.correlation_id or run_id)
    return replace(result, metadata=request.metadata)


def refused(run_id: str, flow_name: str, error: DagyQueueError, *, correlation_id: str = "") -> DagLaunchResult:
    """Return the result of a launch that was refused."""
    return DagLaunchResult(
        success=False,
        run_id=run_id,
        flow_name=flow_name,
        correlation_id=correlation_id,
        error_message=str(error),
        error=error,
    )


def flow_name_of(request: RunRequest) -> str:
    """Return the flow's name, or what a container is known by."""
    return request.flow_name if isinstance(request, LaunchRequest) else request.label
