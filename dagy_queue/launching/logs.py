"""Where CloudWatch has the log of a run's container, as far as request and settings tell; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagy_queue.errors import RequestInvalid
from dagy_queue.launching.definitions import definition_of, existing_definition
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import EcsSettings


@dataclass(frozen=True, slots=True)
class LogPlace:
    """A stream in a log group; ``region`` is '' where the task's own counts."""

    group: str
    stream: str
    region: str = ""

    def __str__(self) -> str:
        return f"{self.group} {self.stream}"


def place_of(request: LaunchRequest | ContainerRequest, ecs: EcsSettings, task_arn: str) -> LogPlace | None:
    """Return where a task writes its log, as ``launching/definitions.py`` sets it up or the request's template says.

    None without a task, or where the settings' template or an existing task definition decides it.
    """
    if not task_arn or existing_definition(request, ecs):
        return None
    if request.task_definition_template is not None:
        return place_in(request.task_definition_template, request, ecs, task_arn)
    own_image = isinstance(request, ContainerRequest) and request.image
    if ecs.task_definition_template and not own_image:
        return None
    container = request.container_name or ecs.container_name
    return LogPlace(request.log_group or ecs.log_group, _stream(ecs.log_stream_prefix, container, task_arn))


def place_in(
    definition: Mapping[str, Any], request: LaunchRequest | ContainerRequest, ecs: EcsSettings, task_arn: str
) -> LogPlace | None:
    """Return where a task of a definition in ECS's form writes the log of its working container.

    None if that does not go to CloudWatch Logs, under a prefix.
    """
    try:
        name = definition_of("", definition).worker(request.container_name, ecs.container_name)
    except RequestInvalid:
        return None
    (container,) = [each for each in definition["containerDefinitions"] if each["name"] == name]
    log = container.get("logConfiguration") or {}
    options = log.get("options") or {}
    if log.get("logDriver") != "awslogs" or not options.get("awslogs-stream-prefix"):
        return None
    is_template = definition is request.task_definition_template
    own_group = request.log_group if is_template else ""  # an existing definition's group is as registered
    return LogPlace(
        own_group or options.get("awslogs-group", ""),
        _stream(options["awslogs-stream-prefix"], name, task_arn),
        options.get("awslogs-region", ""),
    )


def log_of(request: LaunchRequest | ContainerRequest, ecs: EcsSettings, task_arn: str) -> str:
    """Return log group and stream of a task in words; '' where :func:`place_of` knows none."""
    return str(place_of(request, ecs, task_arn) or "")


def region_of(task_arn: str) -> str:
    """Return the region in a task's ARN."""
    parts = task_arn.split(":")
    return parts[3] if len(parts) > 3 else ""


def _stream(prefix: str, container: str, task_arn: str) -> str:
    return f"{prefix}/{container}/{task_arn.rpartition('/')[2]}"
