"""The two ways to launch, as ``DagLauncher`` sees them: by the queue, or directly. And what both answer with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dagy_queue.errors import DagyQueueError
from dagy_queue.producer.celery_options import CeleryOptions
from dagy_queue.producer.results import DagLaunchResult, RunStatusReport
from dagy_queue.requests import RunRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """One launch that was asked for: its request, or why there is none."""

    run_id: str
    request: RunRequest | None
    refused: DagLaunchResult | None = None


class Way(Protocol):
    """A way to launch."""

    def launch(
        self, asked: Sequence[Asked], *, wait: bool, options: CeleryOptions | None = None
    ) -> list[DagLaunchResult]:
        """Launch what can be launched; the results are in the order asked. Raises nothing of ours."""

    def status(self, run_id: str) -> RunStatusReport | None:
        """Return the status of a run; None if it isn't known."""


def launched(run_id: str, request: RunRequest, task_arn: str | None = None) -> DagLaunchResult:
    """Return the result of a launch that was accepted."""
    return DagLaunchResult(
        success=True,
        run_id=run_id,
        flow_name=getattr(request, "flow_name", request.label),
        task_arn=task_arn,
        correlation_id=request.correlation_id or run_id,
        metadata=request.metadata,
    )


def refused(run_id: str, flow_name: str, error: DagyQueueError, request: RunRequest | None = None) -> DagLaunchResult:
    """Return the result of a launch that failed."""
    return DagLaunchResult(
        success=False,
        run_id=run_id,
        flow_name=flow_name,
        correlation_id=(request.correlation_id or run_id) if request else "",
        error_message=str(error),
        metadata=request.metadata if request else {},
        error=error,
    )
