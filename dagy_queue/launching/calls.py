"""The calls of ECS that make and end tasks, with the readings of their answers that every launch needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.errors import AwsCapacity, AwsError, AwsRefused, AwsUnavailable

if TYPE_CHECKING:
    from mypy_boto3_ecs.type_defs import RunTaskResponseTypeDef

RUN_TASK = "ecs:RunTask"
"""The operation that errors of a launch's own call name."""

_MAX_REASON = 255
_CAPACITY_REASONS = ("RESOURCE:", "AGENT", "capacity is unavailable", "limit on the number of")
_GONE = ("taskdefinition is inactive", "taskdefinition not found", "unable to describe task definition")


def run_task(aws: AwsClients, region: str, parameters: Mapping[str, Any]) -> str:
    """Launch one task and return its ARN; a task that the same client token launched before is adopted.

    Raises an AwsError: AwsCapacity if ECS has no room, AwsRefused if it would refuse again.
    """
    try:
        with mapped(RUN_TASK):
            answer = aws.in_region(region).ecs.run_task(**parameters)
    except AwsRefused as exc:
        return _adopted(exc)
    if answer["tasks"]:
        return answer["tasks"][0]["taskArn"]
    raise _placement_error(answer)


def stop_task(aws: AwsClients, task_arn: str, reason: str) -> None:
    """Ask ECS to stop a task, wherever it runs. Raises an AwsError."""
    region, cluster = place_of_task(task_arn)
    with mapped("ecs:StopTask"):
        aws.in_region(region).ecs.stop_task(cluster=cluster, task=task_arn, reason=reason[:_MAX_REASON])


def place_of_task(task_arn: str) -> tuple[str, str]:
    """Return the region and the name of the cluster that a task's ARN names.

    ARNs without a cluster (before 2018) are not ours: accounts have to opt out to get them.
    """
    region, resource = task_arn.split(":")[3], task_arn.rpartition(":")[2]
    return region, resource.split("/")[1]


def definition_is_gone(error: AwsRefused) -> bool:
    """Tell whether ECS refused a task definition that somebody deregistered or deleted."""
    said = str(error).lower()
    return any(sign in said for sign in _GONE)


def _adopted(error: AwsRefused) -> str:
    """Return the task that a ConflictException names: this attempt's, launched before with other parameters."""
    cause = error.__cause__
    if error.code == "ConflictException" and isinstance(cause, ClientError):
        response: Mapping[str, Any] = cause.response
        if arns := response.get("resourceIds"):
            return str(arns[0])
    raise error


def _placement_error(answer: RunTaskResponseTypeDef) -> AwsError:
    failures = answer.get("failures", [])
    said = "; ".join(f"{f.get('reason', '')} {f.get('detail', '')}".strip() for f in failures)
    if not said:
        return AwsUnavailable(f"{RUN_TASK}: the answer had neither a task nor a failure", operation=RUN_TASK)
    if any(sign.lower() in said.lower() for sign in _CAPACITY_REASONS):
        return AwsCapacity(f"{RUN_TASK}: {said}; it will be repeated later", operation=RUN_TASK)
    return AwsRefused(f"{RUN_TASK}: {said}", operation=RUN_TASK)
