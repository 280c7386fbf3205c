"""The outcome of a task that ECS has forgotten before its end was told; pure. The reconciler gives it to the ledger."""

from __future__ import annotations

from dagy_queue.outcomes.outcome import Kind, Outcome


def lost(task_arn: str) -> Outcome:
    """ECS no longer knows the task. A flow's report in S3 may still tell how it ended; the second pass looks there."""
    return Outcome(
        kind=Kind.LOST,
        summary="ECS no longer knows the task, and nobody heard how it ended",
        detail=(
            "its STOPPED event never came, and ECS describes a stopped task for about an hour; the run may have done"
            " its work, but left no report of it"
        ),
        resolution=(
            "see in the run's log how far it came, and launch it again; if this happens often, check the EventBridge"
            " rule and its queue, and that a bridge is always running"
        ),
        task_arn=task_arn,
    )
