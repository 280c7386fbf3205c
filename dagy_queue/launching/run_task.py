"""From a launch to RunTask's parameters; pure. The same attempt always gives the same parameters: its client token
would be refused otherwise (ConflictException)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagy.contract import Env, RunSpec
from dagy_queue.ids import AttemptId
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import EcsSettings

MAX_OVERRIDES = 8192
"""Characters of JSON that RunTask takes as overrides (ECS API reference, RunTask, overrides)."""

_NOT_IN_A_TAG = re.compile(r"[^\w .:/=+\-@]", re.ASCII)
_TAG_VALUE_LENGTH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """One attempt, ready to be asked of ECS."""

    attempt_id: AttemptId
    request: LaunchRequest | ContainerRequest
    correlation_id: str
    batch_id: str
    shard: int | None
    task_definition: str
    report_uri: str
    spec: RunSpec | None = None
    spec_uri: str = ""
    """Where the spec was put, if it is too large to travel in the environment."""


def run_task_parameters(launch: Launch, ecs: EcsSettings) -> dict[str, Any]:
    """Return the keyword arguments of RunTask."""
    parameters: dict[str, Any] = {
        "cluster": ecs.cluster,
        "taskDefinition": launch.task_definition,
        "count": 1,
        "launchType": "FARGATE",
        "platformVersion": ecs.platform_version,
        "clientToken": launch.attempt_id.client_token,
        "startedBy": launch.attempt_id.started_by,
        "enableECSManagedTags": True,
        "tags": _tags(launch),
        "overrides": overrides(launch, ecs),
    }
    if ecs.subnets:
        parameters["networkConfiguration"] = {"awsvpcConfiguration": _network(ecs)}
    return parameters


def overrides(launch: Launch, ecs: EcsSettings) -> dict[str, Any]:
    """Return RunTask's overrides: the container's environment and command, and the task's size."""
    request = launch.request
    container: dict[str, Any] = {
        "name": _container_name(request, ecs),
        "environment": [{"name": name, "value": value} for name, value in _environment(launch).items()],
    }
    if isinstance(request, ContainerRequest) and request.command:
        container["command"] = list(request.command)
    task: dict[str, Any] = {"containerOverrides": [container]}
    if request.size:
        task |= dict(zip(("cpu", "memory"), map(str, request.size), strict=True))
    if request.ephemeral_storage_gib:
        task["ephemeralStorage"] = {"sizeInGiB": request.ephemeral_storage_gib}
    return task


def _container_name(request: LaunchRequest | ContainerRequest, ecs: EcsSettings) -> str:
    own = request.container_name if isinstance(request, ContainerRequest) else ""
    return own or ecs.container_name


def overrides_too_large(value: Mapping[str, Any]) -> bool:
    """Tell whether overrides exceed what RunTask takes."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False)) > MAX_OVERRIDES


def task_name(attempt_id: AttemptId, batch_id: str, shard: int | None) -> str:
    """Return ``TASK_NAME``: the batch or run with the number of the shard, as Heimdall's users know it."""
    return f"dagy-{batch_id}-{shard}" if shard is not None else f"dagy-{attempt_id.run_id}-0"


def _environment(launch: Launch) -> dict[str, str]:
    ours = {
        Env.RUN_ID: launch.attempt_id.run_id,
        Env.ATTEMPT: str(launch.attempt_id.attempt),
        Env.CORRELATION_ID: launch.correlation_id,
        Env.ORG_ID: launch.request.org_id,
        Env.RESULT_URI: launch.report_uri,
        Env.TASK_NAME: task_name(launch.attempt_id, launch.batch_id, launch.shard),
        Env.TASK_NUM: str(launch.shard or 0),
    }
    if launch.spec is not None:
        ours[Env.ARTIFACT_URI] = launch.spec.artifact_uri
        if launch.spec_uri:
            ours[Env.RUN_SPEC_URI] = launch.spec_uri
        else:
            ours[Env.RUN_SPEC] = launch.spec.to_json()
    return launch.request.extra_env_vars | {name: value for name, value in ours.items() if value}


def _tags(launch: Launch) -> list[dict[str, str]]:
    request = launch.request
    tags = {
        "dagy:run": launch.attempt_id.run_id,
        "dagy:org": request.org_id,
        "dagy:what": request.label,
        "dagy:correlation": launch.correlation_id,
        "dagy:batch": launch.batch_id,
        "dagy:shard": "" if launch.shard is None else str(launch.shard),
        "dagy:environment": request.environment,
        "dagy:trigger": request.trigger_source,
    }
    return [{"key": key, "value": _tag_value(value)} for key, value in tags.items() if value]


def _tag_value(text: str) -> str:
    """Return the text as a tag's value: ECS refuses other characters, and AWS keeps ``aws:`` for itself."""
    value = _NOT_IN_A_TAG.sub("_", text)[:_TAG_VALUE_LENGTH]
    return f"_{value[1:]}" if value.lower().startswith("aws:") else value


def _network(ecs: EcsSettings) -> dict[str, Any]:
    network: dict[str, Any] = {
        "subnets": list(ecs.subnets),
        "assignPublicIp": "ENABLED" if ecs.assign_public_ip else "DISABLED",
    }
    if ecs.security_groups:
        network["securityGroups"] = list(ecs.security_groups)
    return network
