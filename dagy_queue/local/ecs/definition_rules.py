"""What ECS requires of a task definition before it registers it, above all for Fargate (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dagy_queue.local.ecs import sizes
from dagy_queue.local.ecs.reading import client_error, integer, invalid, items, mapping, text, texts
from dagy_queue.requests.sizes import MEMORY_OF_CPU

NETWORK_MODES = ("bridge", "host", "awsvpc", "none")
COMPATIBILITIES = ("EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


def check_definition(request: Mapping[str, Any]) -> None:
    """Raise the exception ECS would for a RegisterTaskDefinition request; return if it would register it."""
    if not _NAME.fullmatch(text(request, "family")):
        raise client_error("Family must have 1 to 255 letters, digits, hyphens and underscores.")
    containers = items(request, "containerDefinitions")
    _check_containers(containers)
    compatibilities = texts(request, "requiresCompatibilities")
    for name in compatibilities:
        if name not in COMPATIBILITIES:
            raise invalid(f"Invalid compatibility '{name}'.")
    if text(request, "networkMode", "bridge") not in NETWORK_MODES:
        raise invalid(f"Invalid network mode '{text(request, 'networkMode')}'.")
    if "FARGATE" in compatibilities:
        _check_fargate(request, containers)
    else:
        _check_memory_given(request, containers)
    check_ephemeral_storage(mapping(request, "ephemeralStorage"))


def check_ephemeral_storage(storage: Mapping[str, Any]) -> None:
    """Raise if an ``ephemeralStorage`` block asks for what Fargate does not offer."""
    if storage and integer(storage, "sizeInGiB", 0) not in sizes.EPHEMERAL_STORAGE_GIB:
        raise invalid(f"Ephemeral storage must be 21 to 200 GiB; got {storage.get('sizeInGiB')}.")


def check_size(cpu: int | None, memory: int | None) -> None:
    """Raise unless Fargate offers the pair. None stands for a value that is absent or unreadable."""
    if cpu is None or cpu not in MEMORY_OF_CPU:
        raise client_error(
            "Invalid 'cpu' setting for task. For more information, see the Troubleshooting section "
            "of the Amazon ECS Developer Guide."
        )
    if memory is None:
        raise client_error(
            "Invalid 'memory' setting for task. For more information, see the Troubleshooting section "
            "of the Amazon ECS Developer Guide."
        )
    if not sizes.is_fargate_pair(cpu, memory):
        raise client_error(
            f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. "
            "See the Amazon ECS documentation for the valid values."
        )


def check_secret_names(secrets: Sequence[Mapping[str, Any]], environment: Sequence[Mapping[str, Any]]) -> None:
    """Raise if a secret shares its name with another secret or with a variable of the environment."""
    taken = {text(variable, "name") for variable in environment}
    for secret in secrets:
        name = text(secret, "name")
        if name in taken:
            raise client_error(
                "The secret name must be unique and not shared with any new or existing environment "
                f"variables set on the container, such as '{name}'."
            )
        taken.add(name)


def _check_containers(containers: Sequence[Mapping[str, Any]]) -> None:
    if not containers:
        raise client_error("Container list cannot be empty.")
    names = [text(container, "name") for container in containers]
    for container, name in zip(containers, names, strict=True):
        _check_container(container, name)
    if len(set(names)) != len(names):
        raise client_error("Container names must be unique within a task definition.")
    if not any(is_essential(container) for container in containers):
        raise client_error("A task definition must have at least one essential container.")


def is_essential(container: Mapping[str, Any]) -> bool:
    """Tell whether a container's exit stops its task: true unless it says otherwise."""
    return container.get("essential") is not False


def _check_container(container: Mapping[str, Any], name: str) -> None:
    if not name:
        raise client_error("Container.name should not be null or empty.")
    if not _NAME.fullmatch(name):
        raise client_error(f"Invalid container name '{name}'.")
    if not text(container, "image"):
        raise client_error("Container.image should not be null or empty.")
    for field in ("command", "entryPoint"):
        texts(container, field)
    if not 0 <= integer(container, "stopTimeout", 30) <= 120:
        raise client_error(f"The stopTimeout of container '{name}' must be at most 120 seconds.")
    check_secret_names(items(container, "secrets"), items(container, "environment"))


def _check_fargate(request: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> None:
    if text(request, "networkMode") != "awsvpc":
        raise client_error("Fargate only supports network mode ‘awsvpc’.")  # noqa: RUF001 - the API's own quotes
    cpu, memory = sizes.parse_cpu(text(request, "cpu")), sizes.parse_memory(text(request, "memory"))
    check_size(cpu, memory)
    _check_sums(containers, cpu or 0, memory or 0)
    for container in containers:
        _check_awslogs(container)
    if text(request, "executionRoleArn"):
        return
    for container in containers:
        _check_needs_no_role(container)


def _check_awslogs(container: Mapping[str, Any]) -> None:
    log = mapping(container, "logConfiguration")
    if text(log, "logDriver") != "awslogs":
        return
    options = mapping(log, "options")
    for option in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
        if not text(options, option):
            raise client_error(f"Log driver awslogs requires option '{option}' on Fargate.")


def _check_needs_no_role(container: Mapping[str, Any]) -> None:
    log = mapping(container, "logConfiguration")
    if text(log, "logDriver") == "awslogs":
        raise client_error("Fargate requires task definition to have execution role ARN to support log driver awslogs.")
    if items(container, "secrets") or items(log, "secretOptions"):
        raise client_error("Fargate requires task definition to have execution role ARN to support ECS secrets.")
    if ".dkr.ecr." in text(container, "image"):
        raise client_error("Fargate requires task definition to have execution role ARN to support ECR images.")


def _check_sums(containers: Sequence[Mapping[str, Any]], cpu: int, memory: int) -> None:
    if sum(integer(container, "cpu", 0) for container in containers) > cpu:
        raise client_error("The sum of the containers' 'cpu' is greater than the task's.")
    for container in containers:
        if integer(container, "memory", 0) > memory:
            raise client_error(
                f"Invalid setting for container '{container['name']}'. Its 'memory' is greater than the task's."
            )


def _check_memory_given(request: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> None:
    if text(request, "memory"):
        return
    for container in containers:
        if not container.get("memory") and not container.get("memoryReservation"):
            raise client_error(
                f"Invalid setting for container '{container['name']}'. "
                "At least one of 'memory' or 'memoryReservation' must be specified."
            )
