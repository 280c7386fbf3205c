"""Where CloudWatch has the log of a run's container, if its task definition is one of ours; pure."""

from __future__ import annotations

from dagy_queue.launching.definitions import existing_definition
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import EcsSettings


def log_of(request: LaunchRequest | ContainerRequest, ecs: EcsSettings, task_arn: str) -> str:
    """Return log group and stream of a task, as ``launching/definitions.py`` sets them up.

    '' where a template or an existing task definition decides it, or without a task.
    """
    own_image = isinstance(request, ContainerRequest) and request.image
    from_template = request.task_definition_template is not None or (ecs.task_definition_template and not own_image)
    if not task_arn or from_template or existing_definition(request, ecs):
        return ""
    container = request.container_name or ecs.container_name
    task_id = task_arn.rpartition("/")[2]
    return f"{request.log_group or ecs.log_group} {ecs.log_stream_prefix}/{container}/{task_id}"
