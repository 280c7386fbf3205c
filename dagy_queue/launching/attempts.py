"""One attempt at a launch: planned, asked of ECS, and planned once more if its task definition is gone.

Dispatchers and the direct mode launch with it; what becomes of a refusal is theirs to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dagy_queue.aws.clients import AwsClients
from dagy_queue.errors import AwsRefused
from dagy_queue.launching.calls import definition_is_gone, run_task
from dagy_queue.launching.planner import Plan, Planner


@dataclass(frozen=True, slots=True)
class Launched:
    """A task that ECS made, and its plan."""

    task_arn: str
    plan: Plan


def launch_attempt(planner: Planner, aws: AwsClients, plan: Callable[[], Plan]) -> Launched:
    """Launch what ``plan`` plans with the planner.

    A task definition that somebody deregistered is forgotten, so that the second plan finds or registers another one.
    Raises what planning and RunTask raise.
    """
    planned = plan()
    try:
        return Launched(run_task(aws, planned.region, planned.parameters), planned)
    except AwsRefused as exc:
        if not definition_is_gone(exc):
            raise
    planner.forget_definition(planned)
    again = plan()
    return Launched(run_task(aws, again.region, again.parameters), again)
