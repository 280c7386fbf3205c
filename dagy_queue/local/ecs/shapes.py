"""A task in ECS's own words: the ``Task`` structure of the API (pure)."""

from __future__ import annotations

from typing import Any

from dagy_queue.local.ecs.reading import Json
from dagy_queue.local.ecs.tags import write_tags
from dagy_queue.local.ecs.tasks import Task, TaskContainer

_ATTACHMENT_STATUS = {"PROVISIONING": "PRECREATED", "STOPPED": "DELETED"}


def task_shape(task: Task, *, tags: bool = False) -> Json:
    """Return a task as RunTask, StopTask and DescribeTasks answer it. Times are seconds since the epoch."""
    shape: Json = {
        "attachments": attachments(task, "ElasticNetworkInterface"),
        "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
        "availabilityZone": task.availability_zone,
        "capacityProviderName": task.capacity_provider,
        "clusterArn": task.cluster_arn,
        "connectivity": "CONNECTED" if task.connected_at else None,
        "connectivityAt": task.connected_at,
        "containers": [container_shape(task, container) for container in task.containers],
        "cpu": _number(task.cpu),
        "createdAt": task.created_at,
        "desiredStatus": task.desired_status,
        "enableExecuteCommand": task.enable_execute_command,
        "ephemeralStorage": _storage(task),
        "executionStoppedAt": task.execution_stopped_at,
        "group": task.group,
        "healthStatus": "UNKNOWN",
        "inferenceAccelerators": [],
        "lastStatus": task.last_status,
        "launchType": task.launch_type,
        "memory": _number(task.memory),
        "overrides": task.overrides,
        "platformFamily": "Linux" if task.platform_version else None,
        "platformVersion": task.platform_version,
        "pullStartedAt": task.pull_started_at,
        "pullStoppedAt": task.pull_stopped_at,
        "startedAt": task.started_at,
        "startedBy": task.started_by,
        "stopCode": task.stop.code if task.stop else None,
        "stoppedAt": task.stopped_at,
        "stoppedReason": task.stop.reason if task.stop else None,
        "stoppingAt": task.stopping_at,
        "tags": write_tags(task.tags) if tags else [],
        "taskArn": task.arn,
        "taskDefinitionArn": task.definition["taskDefinitionArn"],
        "version": task.version,
    }
    return without_nones(shape)


def container_shape(task: Task, container: TaskContainer) -> Json:
    """Return one container of a task as the API tells it."""
    shape = {
        "containerArn": container.arn,
        "taskArn": task.arn,
        "name": container.name,
        "image": container.image,
        "imageDigest": container.image_digest,
        "runtimeId": container.runtime_id if container.last_status != "PENDING" else None,
        "lastStatus": container.last_status,
        "exitCode": container.exit_code,
        "reason": container.reason,
        "networkBindings": [],
        "networkInterfaces": _interfaces(task),
        "healthStatus": "UNKNOWN",
        "cpu": str(container.cpu),
        "memory": _number(container.memory),
        "memoryReservation": _number(container.memory_reservation),
    }
    return without_nones(shape)


def attachments(task: Task, kind: str) -> list[Json]:
    """Return the task's network interface as an attachment. The API and events differ in the name of its type."""
    network = task.network
    if network is None:
        return []
    details = {
        "subnetId": network.subnet,
        "networkInterfaceId": network.interface_id,
        "macAddress": network.mac,
        "privateDnsName": f"ip-{network.address.replace('.', '-')}.ec2.internal",
        "privateIPv4Address": network.address,
    }
    return [
        {
            "id": network.attachment_id,
            "type": kind,
            "status": _ATTACHMENT_STATUS.get(task.last_status, "ATTACHED"),
            "details": [{"name": name, "value": value} for name, value in details.items()],
        }
    ]


def without_nones(shape: dict[str, Any]) -> Json:
    """Return a structure without the members that have no value: ECS leaves them out."""
    return {name: value for name, value in shape.items() if value is not None}


def _interfaces(task: Task) -> list[Json]:
    if task.network is None or task.last_status == "PROVISIONING":
        return []
    return [{"attachmentId": task.network.attachment_id, "privateIpv4Address": task.network.address}]


def _storage(task: Task) -> Json | None:
    return None if task.ephemeral_gib is None else {"sizeInGiB": task.ephemeral_gib}


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)
