"""Who or what stopped a task from outside, by its stop code and reason; a table, pure.

``classify.py`` looks up ``<stop code>: <stopped reason>`` in it before it looks at exit codes: a container that is
being stopped exits with whatever it likes.
"""

from __future__ import annotations

from dagy_queue.outcomes.causes import stopped
from dagy_queue.outcomes.outcome import Kind

OUR_REASONS = "dagy: "
"""Every StopTask of ours gives a reason that starts with this."""

_NOT_A_FAULT = "nothing is wrong with the run: its next attempt goes to another host"

STOP_CAUSES = (
    stopped(
        rf"^UserInitiated: .*{OUR_REASONS}.*(its timeout is over|did not start in time)",
        Kind.TIMED_OUT,
        "dagy_queue stopped the task: its time was over",
        "launch it with a longer `timeout`, or find out from its log what took so long",
    ),
    stopped(
        rf"^UserInitiated: .*{OUR_REASONS}",
        Kind.CANCELLED,
        "dagy_queue stopped the task: its run was cancelled",
        "nothing is wrong with the run: launch it again if it is still wanted",
    ),
    stopped(
        "^UserInitiated: ",
        Kind.CANCELLED,
        "somebody stopped the task",
        "launch again if it was not you who stopped it; CloudTrail has who called StopTask",
    ),
    stopped(
        "^ServiceSchedulerInitiated: ",
        Kind.CANCELLED,
        "the scheduler of an ECS service stopped the task",
        "check whether a service has taken the task for one of its own, then launch again",
    ),
    stopped(
        "^SpotInterruption: |Spot Task was interrupted",
        Kind.SPOT,
        "Fargate Spot took the task's capacity back",
        f"{_NOT_A_FAULT}; for what must not be interrupted, take FARGATE instead of FARGATE_SPOT",
    ),
    stopped(
        "^TerminationNotice: |performing maintenance on the underlying infrastructure",
        Kind.SPOT,
        "AWS took the task's host out of service",
        _NOT_A_FAULT,
    ),
    stopped(
        r"^InfrastructureHealth: |Host EC2 \(?instance.*(stopped|terminated)|instance deregistration",
        Kind.SPOT,
        "the task's host failed",
        _NOT_A_FAULT,
    ),
)
