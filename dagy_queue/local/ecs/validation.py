"""ECS's rules for a RunTask request, as far as they need no state but the task definition (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dagy_queue.local.ecs import sizes
from dagy_queue.local.ecs.definition_rules import check_ephemeral_storage, check_secret_names, check_size
from dagy_queue.local.ecs.reading import integer, invalid, items, mapping, text, texts
from dagy_queue.local.ports import AwsError

MAX_OVERRIDES = 8192
MAX_SUBNETS = 16
MAX_SECURITY_GROUPS = 5
LAUNCH_TYPES = ("EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES")
_TOKEN = re.compile(r"[\x21-\x7e]{1,64}")
_STARTED_BY = re.compile(r"[A-Za-z0-9_/-]{1,128}")
PLATFORM_VERSIONS = ("LATEST", "1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0")
"""Of Fargate for Linux (ECS developer guide, "Fargate platform versions for Amazon ECS")."""


def check_run_task(request: Mapping[str, Any]) -> None:
    """Raise the exception ECS would for what the request says by itself."""
    if not text(request, "taskDefinition"):
        raise invalid("TaskDefinition can not be blank.")
    if not 1 <= integer(request, "count", 1) <= 10:
        raise invalid(f"Count must be between 1 and 10; got {request['count']}.")
    _check_charset(request, "clientToken", _TOKEN, "1 to 64 ASCII characters from 33 to 126")
    _check_charset(request, "startedBy", _STARTED_BY, "1 to 128 letters, digits, '-', '/' and '_'")
    _check_propagation(text(request, "propagateTags"))
    _check_capacity_choice(request)
    _check_overrides_form(mapping(request, "overrides"))


def check_against_definition(
    request: Mapping[str, Any], definition: Mapping[str, Any], *, fargate: bool, platform_version: str
) -> None:
    """Raise the exception ECS would for a request that does not fit its task definition."""
    overrides = mapping(request, "overrides")
    _check_container_overrides(items(overrides, "containerOverrides"), definition["containerDefinitions"])
    check_ephemeral_storage(mapping(overrides, "ephemeralStorage"))
    awsvpc = definition.get("networkMode") == "awsvpc"
    if fargate:
        if "FARGATE" not in definition.get("compatibilities", ()):
            raise invalid("Task definition does not support launch_type FARGATE.")
        if items(request, "placementConstraints") or items(request, "placementStrategy"):
            raise invalid("Placement constraints and strategies are not supported with FARGATE launch type.")
        cpu, memory = effective_size(overrides, definition)
        check_size(cpu, memory)
        _check_platform(platform_version, cpu or 0, overrides, definition)
    elif text(request, "platformVersion"):
        raise invalid("The platform version must be null when specifying an EC2 launch type.")
    check_network(mapping(request, "networkConfiguration"), awsvpc=awsvpc)


def effective_size(overrides: Mapping[str, Any], definition: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return CPU units and MiB of a task: its override's, else its definition's; None where there is none."""
    cpu = text(overrides, "cpu") or text(definition, "cpu")
    memory = text(overrides, "memory") or text(definition, "memory")
    return sizes.parse_cpu(cpu), sizes.parse_memory(memory)


def check_network(network: Mapping[str, Any], *, awsvpc: bool) -> None:
    """Raise unless the network configuration is there exactly when the network mode wants it, and is complete."""
    if not awsvpc:
        if network:
            raise invalid("Network Configuration is not valid for the given networkMode of this task definition.")
        return
    vpc = mapping(network, "awsvpcConfiguration")
    if not vpc:
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    subnets = texts(vpc, "subnets")
    if not subnets:
        raise invalid("subnets can not be empty.")
    if len(subnets) > MAX_SUBNETS:
        raise invalid(f"subnets can have at most {MAX_SUBNETS} items.")
    if len(texts(vpc, "securityGroups")) > MAX_SECURITY_GROUPS:
        raise invalid(f"securityGroups can have at most {MAX_SECURITY_GROUPS} items.")
    if text(vpc, "assignPublicIp", "DISABLED") not in ("ENABLED", "DISABLED"):
        raise invalid("assignPublicIp must be ENABLED or DISABLED.")


def _check_charset(request: Mapping[str, Any], name: str, pattern: re.Pattern[str], rule: str) -> None:
    value = request.get(name)
    if value is not None and not pattern.fullmatch(text(request, name)):
        raise invalid(f"{name} must have {rule}.")


def _check_propagation(source: str) -> None:
    if source == "SERVICE":
        raise invalid("propagateTags SERVICE is not supported when running a task: it has no service.")
    if source not in ("", "TASK_DEFINITION", "NONE"):
        raise invalid(f"Invalid propagateTags '{source}'.")


def _check_capacity_choice(request: Mapping[str, Any]) -> None:
    launch_type = text(request, "launchType")
    strategy = items(request, "capacityProviderStrategy")
    if launch_type and strategy:
        raise invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."
        )
    if launch_type and launch_type not in LAUNCH_TYPES:
        raise invalid(f"Invalid launch type '{launch_type}'.")
    if len(strategy) > 20:
        raise invalid("capacityProviderStrategy can have at most 20 items.")
    check_strategy(strategy)
    version = text(request, "platformVersion", "LATEST")
    if version not in PLATFORM_VERSIONS:
        raise AwsError("PlatformUnknownException", f"The specified platform version does not exist: '{version}'.")


def check_strategy(strategy: Sequence[Mapping[str, Any]]) -> None:
    """Raise if a capacity provider strategy could never place a task."""
    for item in strategy:
        if not text(item, "capacityProvider"):
            raise invalid("A capacity provider strategy item must name its capacity provider.")
        if not 0 <= integer(item, "weight", 0) <= 1000 or not 0 <= integer(item, "base", 0) <= 100_000:
            raise invalid("A capacity provider's weight must be 0 to 1000 and its base 0 to 100000.")
    if sum(integer(item, "base", 0) > 0 for item in strategy) > 1:
        raise invalid("Only one capacity provider in a strategy can have a base.")
    if len(strategy) > 1 and not any(integer(item, "weight", 0) for item in strategy):
        raise invalid("At least one capacity provider in a strategy must have a weight greater than 0.")


def _check_overrides_form(overrides: Mapping[str, Any]) -> None:
    length = len(json.dumps(overrides, separators=(",", ":"), ensure_ascii=False))
    if overrides and length > MAX_OVERRIDES:
        raise invalid(f"Container Overrides length must be at most {MAX_OVERRIDES}")
    for override in items(overrides, "containerOverrides"):
        texts(override, "command")
        for variable in items(override, "environment"):
            text(variable, "name")
            text(variable, "value")
        if "secrets" in override:
            raise invalid("Secrets can not be overridden: they belong to the task definition.")


def _check_container_overrides(overrides: Sequence[Mapping[str, Any]], containers: Sequence[Mapping[str, Any]]) -> None:
    known = {container["name"]: container for container in containers}
    for override in overrides:
        name = text(override, "name")
        if name not in known:
            raise invalid(f"Override for container named {name} is not a container in the TaskDefinition.")
        check_secret_names(items(known[name], "secrets"), items(override, "environment"))


def _check_platform(version: str, cpu: int, overrides: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    big = cpu >= sizes.NEEDS_PLATFORM_1_4
    storage = overrides.get("ephemeralStorage") or definition.get("ephemeralStorage")
    if version < "1.4.0" and (big or storage):
        raise AwsError(
            "PlatformTaskDefinitionIncompatibilityException",
            "The specified platform does not satisfy the task definition’s required capabilities.",  # noqa: RUF001
        )
