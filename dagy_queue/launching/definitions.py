"""What is registered and launched for a request: from a template, for an image, or an existing task definition; pure.

``launching/planner.py`` asks :func:`existing_definition` and, where a request has none, :func:`made_definition`;
``launching/task_definitions.py`` describes the one and registers the other.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.launching.placement import Placement
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.definitions import registrable
from dagy_queue.requests.sizes import units_of
from dagy_queue.settings import EcsSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """A task definition that can be launched: what RunTask is told, and what its parameters depend on."""

    name: str
    """Full ARN, or for an existing one what the caller gave."""
    network_mode: str
    containers: tuple[str, ...]
    essential: tuple[str, ...]
    cpu: int | None = None
    memory: int | None = None
    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By container, the names of the variables that ECS fills from secrets."""
    stop_timeouts: Mapping[str, float] = field(default_factory=dict)
    """By container, the seconds between SIGTERM and SIGKILL, where it says."""

    def worker(self, wanted: str, usual: str) -> str:
        """Return the container that does the work: the one asked for, the usual one, or the only essential one.

        Raises RequestInvalid naming the containers there are.
        """
        if wanted or usual in self.containers:
            name = wanted or usual
            self.check_container(name, "container_name")
            return name
        if len(self.essential) == 1:
            return self.essential[0]
        raise RequestInvalid(
            [Problem("container_name", wanted, f"which container does the work: {', '.join(self.containers)}")]
        )

    def check_container(self, name: str, field: str) -> None:
        """Raise RequestInvalid unless the definition has a container of that name."""
        if name not in self.containers:
            allowed = f"{self.name.rpartition('/')[2]} has the containers {', '.join(self.containers)}"
            raise RequestInvalid([Problem(field, name, allowed)])


def definition_of(name: str, document: Mapping[str, Any]) -> Definition:
    """Return what a document in ECS's form means for a launch."""
    containers = document["containerDefinitions"]
    return Definition(
        name=name,
        network_mode=document.get("networkMode") or "bridge",
        containers=tuple(container["name"] for container in containers),
        essential=tuple(c["name"] for c in containers if c.get("essential", True)),
        cpu=units_of(str(document.get("cpu") or "")),
        memory=units_of(str(document.get("memory") or "")),
        secrets={c["name"]: tuple(s["name"] for s in c["secrets"]) for c in containers if c.get("secrets")},
        stop_timeouts={c["name"]: float(c["stopTimeout"]) for c in containers if c.get("stopTimeout")},
    )


def existing_definition(request: LaunchRequest | ContainerRequest, ecs: EcsSettings) -> str:
    """Return the existing task definition that a request is launched from; '' if one is made for it."""
    asked = request.run_task_kwargs.get("taskDefinition") or request.task_definition
    if asked or request.task_definition_template or request.own_image:
        return str(asked or "")
    return str(ecs.run_task_kwargs.get("taskDefinition") or ecs.task_definition)


def made_definition(
    request: LaunchRequest | ContainerRequest,
    ecs: EcsSettings,
    placement: Placement,
    template: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the document to register for a request; ``template`` is the settings', the request's own goes before it.

    Raises RequestInvalid if a container is asked for and nothing says which.
    """
    if request.task_definition_template is not None:
        template = request.task_definition_template
    elif isinstance(request, ContainerRequest) and request.image:
        template = None
    document = _for_image(request, ecs, placement) if template is None else _from_template(template, request, ecs)
    return with_secrets(document, request, ecs)


def with_secrets(
    document: dict[str, Any], request: LaunchRequest | ContainerRequest, ecs: EcsSettings
) -> dict[str, Any]:
    """Return a document whose working container has the request's secrets: RunTask's overrides take none.

    ECS registers secrets only together with an execution role; one is added where the document has none.
    """
    if not request.secrets_env:
        return document
    found = copy.deepcopy(document)
    name = definition_of(found.get("family", "the template"), found).worker(request.container_name, ecs.container_name)
    container = next(c for c in found["containerDefinitions"] if c["name"] == name)
    secrets = {s["name"]: s["valueFrom"] for s in container.get("secrets") or ()} | request.secrets_env
    container["secrets"] = [{"name": name, "valueFrom": secrets[name]} for name in sorted(secrets)]
    # ECS refuses a variable that is given twice.
    container["environment"] = [v for v in container.get("environment") or () if v.get("name") not in secrets]
    if role := found.get("executionRoleArn") or ecs.execution_role_arn or request.task_execution_role_arn:
        found["executionRoleArn"] = role
    return found


def _from_template(
    template: Mapping[str, Any], request: LaunchRequest | ContainerRequest, ecs: EcsSettings
) -> dict[str, Any]:
    document = copy.deepcopy(registrable(template))
    execution_role = ecs.execution_role_arn or request.task_execution_role_arn
    for key, value in (("executionRoleArn", execution_role), ("taskRoleArn", ecs.task_role_arn)):
        if value and not document.get(key):
            document[key] = value
    if request.own_image or request.log_group:
        name = definition_of(document.get("family", "the template"), document).worker(
            request.container_name, ecs.container_name
        )
        container = next(c for c in document["containerDefinitions"] if c["name"] == name)
        container["image"] = request.own_image or container["image"]
        log = container.get("logConfiguration") or {}
        if request.log_group and log.get("logDriver") == "awslogs":
            log["options"] = {**(log.get("options") or {}), "awslogs-group": request.log_group}
    return document


def _for_image(request: LaunchRequest | ContainerRequest, ecs: EcsSettings, placement: Placement) -> dict[str, Any]:
    image = request.own_image
    if not image:
        if isinstance(request, ContainerRequest):
            raise RequestInvalid(
                [Problem("image", "", "an image, a task_definition or a task_definition_template (or their settings)")]
            )
        image = ecs.worker_image
    document: dict[str, Any] = {
        "requiresCompatibilities": ["FARGATE" if placement.on_fargate else "EC2"],
        "networkMode": "awsvpc",
        "cpu": str(ecs.cpu),
        "memory": str(ecs.memory),
        "containerDefinitions": [
            {
                "name": request.container_name or ecs.container_name,
                "image": image,
                "essential": True,
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": request.log_group or ecs.log_group,
                        "awslogs-region": placement.region,
                        "awslogs-stream-prefix": ecs.log_stream_prefix,
                    },
                },
            }
        ],
    }
    # Without roles of its own the definition could not be launched from the console; a request's own go by RunTask.
    roles = {"executionRoleArn": ecs.execution_role_arn, "taskRoleArn": ecs.task_role_arn}
    if not ecs.execution_role_arn:
        roles["executionRoleArn"] = request.task_execution_role_arn
    return document | {name: arn for name, arn in roles.items() if arn}
