"""The task metadata endpoint, version 4: what ``${ECS_CONTAINER_METADATA_URI_V4}`` answers inside a task (pure)."""

from __future__ import annotations

from dagy_queue.local.ecs.events import iso_time
from dagy_queue.local.ecs.reading import Json
from dagy_queue.local.ecs.shapes import without_nones
from dagy_queue.local.ecs.tasks import Task, TaskContainer


def metadata(task: Task, container: TaskContainer, path: str) -> Json | None:
    """Return the document at a path below a container's URI, or None where Fargate answers 404."""
    match path.rstrip("/"):
        case "":
            return container_metadata(task, container)
        case "/task":
            return task_metadata(task)
        case "/stats":
            return {"id": container.runtime_id, "name": container.name}
        case "/task/stats":
            return {c.runtime_id: {"id": c.runtime_id, "name": c.name} for c in task.containers}
        case _:
            return None


def task_metadata(task: Task) -> Json:
    """Return the document of the whole task."""
    document = {
        "Cluster": task.cluster_arn,
        "TaskARN": task.arn,
        "Family": task.family,
        "Revision": str(task.definition["revision"]),
        "DesiredStatus": task.desired_status,
        "KnownStatus": task.last_status,
        "Limits": without_nones({"CPU": task.vcpus or None, "Memory": task.memory}),
        "PullStartedAt": _time(task.pull_started_at),
        "PullStoppedAt": _time(task.pull_stopped_at),
        "AvailabilityZone": task.availability_zone,
        "LaunchType": task.launch_type,
        "Containers": [container_metadata(task, container) for container in task.containers],
    }
    return without_nones(document)


def container_metadata(task: Task, container: TaskContainer) -> Json:
    """Return the document of one container."""
    document = {
        "DockerId": container.runtime_id,
        "Name": container.name,
        "DockerName": container.name,
        "Image": container.image,
        "ImageID": container.image_digest,
        "Labels": {
            "com.amazonaws.ecs.cluster": task.cluster_arn,
            "com.amazonaws.ecs.container-name": container.name,
            "com.amazonaws.ecs.task-arn": task.arn,
            "com.amazonaws.ecs.task-definition-family": task.family,
            "com.amazonaws.ecs.task-definition-version": str(task.definition["revision"]),
        },
        "DesiredStatus": task.desired_status,
        "KnownStatus": container.last_status,
        "ExitCode": container.exit_code,
        "Limits": without_nones({"CPU": container.cpu, "Memory": container.memory}),
        "CreatedAt": _time(task.pull_stopped_at),
        "StartedAt": _time(task.started_at),
        "Type": "NORMAL",
        "ContainerARN": container.arn,
        "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": [task.network.address]}] if task.network else [],
    }
    return without_nones(document)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else iso_time(seconds)
