"""Task definitions: families of numbered revisions, and finding the one a request means."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dagy_queue.local.ecs.arns import Realm, resource_of
from dagy_queue.local.ecs.definition_rules import check_definition
from dagy_queue.local.ecs.paging import page
from dagy_queue.local.ecs.reading import Json, client_error, invalid, text, texts
from dagy_queue.local.ecs.sizes import parse_cpu, parse_memory
from dagy_queue.local.ecs.tags import read_tags, write_tags
from dagy_queue.local.ports import AwsError

_COPIED = (
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "requiresCompatibilities",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
    "ephemeralStorage",
    "runtimePlatform",
    "enableFaultInjection",
)


@dataclass(slots=True, eq=False)
class Definition:
    """One revision of a family: its document as the API tells it, and its tags."""

    arn: str
    family: str
    revision: int
    number: int
    document: Json
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def is_active(self) -> bool:
        """Whether new tasks may be run from it."""
        return bool(self.document["status"] == "ACTIVE")


class TaskDefinitions:
    """The task definitions of the account."""

    def __init__(self, realm: Realm, clock: Callable[[], float]) -> None:
        self._realm = realm
        self._clock = clock
        self._families: dict[str, list[Definition]] = {}
        self._registered = 0

    @property
    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Json]]:
        """The operations answered here, by name."""
        return {
            "RegisterTaskDefinition": self.register,
            "DeregisterTaskDefinition": self.deregister,
            "DescribeTaskDefinition": self.describe,
            "ListTaskDefinitions": self.list,
            "ListTaskDefinitionFamilies": self.list_families,
        }

    def find(self, identifier: str) -> Definition | None:
        """Return the revision of an ARN or ``family:revision``, or the latest active one of ``family``."""
        family, _, revision = resource_of(identifier).removeprefix("task-definition/").partition(":")
        revisions = self._families.get(family, [])
        if revision:
            return next((d for d in revisions if str(d.revision) == revision), None)
        return next((d for d in reversed(revisions) if d.is_active), None)

    def launchable(self, identifier: str) -> Definition:
        """Return the revision to run a task from. Raises what RunTask answers if there is none."""
        definition = self.find(identifier)
        if definition is None:
            raise client_error("TaskDefinition not found.")
        if not definition.is_active:
            raise invalid("TaskDefinition is inactive")
        return definition

    def register(self, request: Mapping[str, Any]) -> Json:
        """RegisterTaskDefinition: a new revision each time."""
        check_definition(request)
        tags = read_tags(request)
        family = text(request, "family")
        revisions = self._families.setdefault(family, [])
        revision = len(revisions) + 1
        arn = self._realm.task_definition(family, revision)
        self._registered += 1
        document = self._document(request, arn, family, revision)
        revisions.append(Definition(arn, family, revision, self._registered, document, tags))
        return {"taskDefinition": copy.deepcopy(document), "tags": write_tags(tags)}

    def deregister(self, request: Mapping[str, Any]) -> Json:
        """DeregisterTaskDefinition: no new tasks from it; those that run go on."""
        identifier = text(request, "taskDefinition")
        if ":" not in resource_of(identifier):
            raise client_error("Invalid revision number. Revision must be specified.")
        definition = self.find(identifier)
        if definition is None:
            raise client_error("The specified task definition does not exist.")
        if definition.is_active:
            definition.document = {**definition.document, "status": "INACTIVE", "deregisteredAt": self._clock()}
        return {"taskDefinition": copy.deepcopy(definition.document)}

    def describe(self, request: Mapping[str, Any]) -> Json:
        """DescribeTaskDefinition, of inactive revisions too."""
        definition = self.find(text(request, "taskDefinition"))
        if definition is None:
            raise client_error("Unable to describe task definition.")
        answer: Json = {"taskDefinition": copy.deepcopy(definition.document)}
        if "TAGS" in texts(request, "include"):
            answer["tags"] = write_tags(definition.tags)
        return answer

    def list(self, request: Mapping[str, Any]) -> Json:
        """ListTaskDefinitions, by family and status, in order of family and revision."""
        status = self._read_status(request, ("ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"))
        family = text(request, "familyPrefix")
        found = [d for d in self._all() if d.document["status"] == status and family in ("", d.family)]
        found.sort(key=lambda d: (d.family, d.revision), reverse=text(request, "sort", "ASC") == "DESC")
        arns, token = page(request, list(enumerate(d.arn for d in found)))
        return {"taskDefinitionArns": arns, **({"nextToken": token} if token else {})}

    def list_families(self, request: Mapping[str, Any]) -> Json:
        """ListTaskDefinitionFamilies. A family is active while any revision is."""
        status = self._read_status(request, ("ACTIVE", "INACTIVE", "ALL"))
        prefix = text(request, "familyPrefix")
        names = sorted(
            name
            for name, revisions in self._families.items()
            if name.startswith(prefix) and status in ("ALL", _family_status(revisions))
        )
        families, token = page(request, list(enumerate(names)))
        return {"families": families, **({"nextToken": token} if token else {})}

    def _all(self) -> Iterable[Definition]:
        return (definition for revisions in self._families.values() for definition in revisions)

    def _document(self, request: Mapping[str, Any], arn: str, family: str, revision: int) -> Json:
        document: Json = {
            "taskDefinitionArn": arn,
            "family": family,
            "revision": revision,
            "status": "ACTIVE",
            "containerDefinitions": [_with_defaults(c) for c in request["containerDefinitions"]],
            "volumes": copy.deepcopy(request.get("volumes") or []),
            "placementConstraints": copy.deepcopy(request.get("placementConstraints") or []),
            "requiresAttributes": [],
            "compatibilities": _compatibilities(request),
            "registeredAt": self._clock(),
            "registeredBy": f"arn:{self._realm.partition}:iam::{self._realm.account}:root",
        }
        document |= {name: copy.deepcopy(request[name]) for name in _COPIED if request.get(name) is not None}
        for name, parse in (("cpu", parse_cpu), ("memory", parse_memory)):
            value = text(request, name)
            if value:
                document[name] = str(parse(value) or value)
        return document

    def _read_status(self, request: Mapping[str, Any], allowed: tuple[str, ...]) -> str:
        status = text(request, "status", "ACTIVE")
        if status not in allowed:
            raise invalid(f"Invalid status '{status}'.")
        return status


def _family_status(revisions: Iterable[Definition]) -> str:
    return "ACTIVE" if any(definition.is_active for definition in revisions) else "INACTIVE"


def _with_defaults(container: Mapping[str, Any]) -> Json:
    defaults: Json = {
        "cpu": 0,
        "portMappings": [],
        "essential": True,
        "environment": [],
        "mountPoints": [],
        "volumesFrom": [],
        "systemControls": [],
    }
    return {**defaults, **copy.deepcopy({k: v for k, v in container.items() if v is not None})}


def _compatibilities(request: Mapping[str, Any]) -> list[str]:
    """Fargate belongs to them whenever its rules are met, whether or not the request asked for it."""
    fargate = {**request, "requiresCompatibilities": ["FARGATE"]}
    try:
        check_definition(fargate)
    except AwsError:
        return ["EC2"]
    return ["EC2", "FARGATE"]
