"""Tasks as EventBridge tells of them: the "ECS Task State Change" envelope (pure)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from dagy_queue.local.ecs.arns import Realm
from dagy_queue.local.ecs.reading import Json
from dagy_queue.local.ecs.shapes import attachments, task_shape
from dagy_queue.local.ecs.tasks import Task

DETAIL_TYPE = "ECS Task State Change"
_TIMES = (
    "connectivityAt",
    "createdAt",
    "executionStoppedAt",
    "pullStartedAt",
    "pullStoppedAt",
    "startedAt",
    "stoppedAt",
    "stoppingAt",
)


def task_event(task: Task, realm: Realm, event_id: str) -> Json:
    """Return the whole envelope for the state a task is in now."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": DETAIL_TYPE,
        "source": "aws.ecs",
        "account": realm.account,
        "time": iso_time(task.updated_at)[:19] + "Z",
        "region": realm.region,
        "resources": [task.arn],
        "detail": task_detail(task),
    }


def task_detail(task: Task) -> Json:
    """Return the event's detail: the task with ISO times, without tags and health, as ECS sends it."""
    detail = task_shape(task)
    for absent in ("tags", "healthStatus", "platformFamily", "inferenceAccelerators"):
        detail.pop(absent, None)
    for container in detail["containers"]:
        for absent in ("networkBindings", "healthStatus"):
            container.pop(absent, None)
    for name in _TIMES:
        if name in detail:
            detail[name] = iso_time(detail[name])
    detail["attachments"] = attachments(task, "eni")
    detail["updatedAt"] = iso_time(task.updated_at)
    return detail


@lru_cache(maxsize=4096)
def iso_time(seconds: float) -> str:
    """Return a time as events write it: UTC with milliseconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
