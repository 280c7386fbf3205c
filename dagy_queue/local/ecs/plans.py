"""From a task's definition and overrides to what each of its containers is started with (pure)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagy_queue.local.ecs.config import LocalEcsConfig
from dagy_queue.local.ecs.runtimes.base import ContainerPlan, LogTarget
from dagy_queue.local.ecs.tasks import Task, TaskContainer

DEFAULT_STOP_TIMEOUT = 30
MIN_STOP_TIMEOUT = 2


def container_plan(
    task: Task, container: TaskContainer, secrets: Mapping[str, str], config: LocalEcsConfig
) -> ContainerPlan:
    """Return how to start a container, with its secrets already resolved."""
    definition = container_definition(task, container.name)
    command = list(definition.get("command") or ())
    environment = {**image_environment(), **config.extra_environment, **platform_environment(task, config)}
    environment |= _variables(definition)
    for override in task.overrides.get("containerOverrides", ()):
        if override["name"] == container.name:
            command = list(override.get("command") or command)
            environment |= _variables(override)
    environment |= secrets
    environment["ECS_CONTAINER_METADATA_URI_V4"] = f"{config.metadata_uri.rstrip('/')}/{container.runtime_id}"
    return ContainerPlan(
        task_id=task.id,
        name=container.name,
        image=container.image,
        entry_point=tuple(definition.get("entryPoint") or ()),
        command=tuple(command),
        environment=environment,
        working_directory=definition.get("workingDirectory") or "",
        stop_timeout=max(MIN_STOP_TIMEOUT, definition.get("stopTimeout") or DEFAULT_STOP_TIMEOUT),
        log=log_target(task, definition),
    )


def container_definition(task: Task, name: str) -> Mapping[str, Any]:
    """Return the definition of a container of a task."""
    definitions: list[Mapping[str, Any]] = task.definition["containerDefinitions"]
    return next(definition for definition in definitions if definition["name"] == name)


def image_environment() -> dict[str, str]:
    """Return what an image itself would set. Its PATH starts where this interpreter and its scripts are."""
    here = str(Path(sys.executable).parent)
    return {"PATH": os.pathsep.join((here, "/usr/local/bin", "/usr/bin", "/bin")), "LANG": "C.UTF-8"}


def platform_environment(task: Task, config: LocalEcsConfig) -> dict[str, str]:
    """Return what ECS sets in every container."""
    return {
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE" if task.launch_type == "FARGATE" else "AWS_ECS_EC2",
        "AWS_REGION": config.region,
        "AWS_DEFAULT_REGION": config.region,
    }


def log_target(task: Task, definition: Mapping[str, Any]) -> LogTarget | None:
    """Return where a container's output goes, or None if its definition has no awslogs driver."""
    log = definition.get("logConfiguration") or {}
    if log.get("logDriver") != "awslogs":
        return None
    options = log.get("options") or {}
    prefix = options.get("awslogs-stream-prefix") or "ecs"
    return LogTarget(options["awslogs-group"], f"{prefix}/{definition['name']}/{task.id}")


def _variables(block: Mapping[str, Any]) -> dict[str, str]:
    return {v["name"]: v.get("value") or "" for v in block.get("environment") or () if v.get("name")}
