"""Registered flows: writing a version with its artifact, finding and listing, deprecating. All reads are by org."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from pynamodb.exceptions import DoesNotExist

from dagy_queue.errors import FlowNotFound
from dagy_queue.records.attributes import LATEST, check, name_problems, version_problems
from dagy_queue.records.base import dynamodb
from dagy_queue.records.flow_model import FlowModel, flow_key
from dagy_queue.records.versions import ACTIVE, INACTIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredFlow:
    """One version of a flow, as the registry has it. Without ``artifact_sha256`` the artifact is not checked."""

    org_id: str
    name: str
    version: str
    artifact_uri: str
    artifact_sha256: str
    status: str = ACTIVE
    status_reason: str = ""
    """Why it is deprecated."""
    deployment_name: str = ""
    """Where its runs are at home that name no deployment themselves."""
    namespace: str = ""
    tags: Mapping[str, Any] = field(default_factory=dict)
    registered_at: datetime | None = field(default=None, compare=False)
    """When it was pushed last."""

    @property
    def is_active(self) -> bool:
        """Whether runs may begin with it."""
        return self.status == ACTIVE


@dataclass(frozen=True, slots=True)
class FlowVersions:
    """A flow with all of its versions, those pushed last first."""

    name: str
    latest: str
    """What 'latest' means; '' if all versions are deprecated."""
    versions: tuple[RegisteredFlow, ...]


def register_flow(flow: RegisteredFlow, spec: Mapping[str, Any]) -> None:
    """Write a version and point 'latest' at it. A version is immutable: the same one may be written again unchanged.

    Raises RequestInvalid if a name is wrong, the version exists with another artifact or spec or is deprecated, or an
    AwsError.
    """
    FlowModel(
        flow_name=flow.name,
        flow_version=flow.version,
        org_id=flow.org_id,
        spec=spec,
        artifact_s3_uri=flow.artifact_uri,
        artifact_sha256=flow.artifact_sha256,
        status=flow.status,
        status_reason=flow.status_reason,
        deployment_name=flow.deployment_name,
        namespace=flow.namespace,
        tags=dict(flow.tags),
    ).save()


def find_flow(org_id: str, name: str, version: str) -> RegisteredFlow | None:
    """Return a version of a flow ('latest': the active one pushed last); None if there is none. Raises an AwsError."""
    try:
        item = FlowModel.get(flow_key(org_id, name), version, consistent_read=True)
    except DoesNotExist:
        return None
    return _flow(item)


def get_flow_spec(org_id: str, name: str, version: str) -> dict[str, Any]:
    """Return the spec of a version of a flow. Raises FlowNotFound, or an AwsError."""
    return dict(_get(org_id, name, version).flow_spec_json)


def versions_of_flow(org_id: str, name: str) -> FlowVersions:
    """Return a flow with all of its versions. Raises FlowNotFound, or an AwsError."""
    check("flow", name_problems(org_id=org_id, flow_name=name))
    with dynamodb("dynamodb:Query"):
        items = list(FlowModel.query(flow_key(org_id, name), consistent_read=True))
    if not items:
        raise FlowNotFound(_missing(org_id, name))
    return _versions(name, items)


def flows_of_org(org_id: str) -> list[FlowVersions]:
    """Return an org's flows by name. What was pushed in the last second may be missing. Raises an AwsError."""
    check("flow", name_problems(org_id=org_id))
    with dynamodb("dynamodb:Query"):
        items = list(FlowModel.by_org.query(org_id))
    return [_versions(name, list(group)) for name, group in groupby(items, lambda item: str(item.flow_name))]


def deprecate_flow(org_id: str, name: str, version: str, reason: str = "") -> RegisteredFlow:
    """Have a version not launched any more; 'latest' means another one then. Runs that have begun go on with it.

    Raises RequestInvalid for 'latest', FlowNotFound, or an AwsError.
    """
    return _set_status(org_id, name, version, INACTIVE, reason)


def activate_flow(org_id: str, name: str, version: str) -> RegisteredFlow:
    """Allow a deprecated version again. Raises RequestInvalid for 'latest', FlowNotFound, or an AwsError."""
    return _set_status(org_id, name, version, ACTIVE)


def _set_status(org_id: str, name: str, version: str, status: str, reason: str = "") -> RegisteredFlow:
    check("flow", version_problems(flow_version=version))
    item = _get(org_id, name, version)
    item.set_status(status, reason)
    return _flow(item)


def _get(org_id: str, name: str, version: str) -> FlowModel:
    try:
        return FlowModel.get(flow_key(org_id, name), version, consistent_read=True)
    except DoesNotExist:
        raise FlowNotFound(_missing(org_id, name, version)) from None


def _missing(org_id: str, name: str, version: str = "") -> str:
    which = f" version {version!r}" if version else ""
    return (
        f"flow {name!r}{which} is not registered for org {org_id!r}; "
        f"`dagy-queue flow list --org {org_id}` lists what is"
    )


def _versions(name: str, items: Sequence[FlowModel]) -> FlowVersions:
    latest = next((str(item.resolves_to) for item in items if item.flow_version == LATEST), "")
    by_age = sorted(items, key=lambda item: item.registered_at, reverse=True)
    return FlowVersions(name, latest, tuple(_flow(item) for item in by_age if item.flow_version != LATEST))


def _flow(item: FlowModel) -> RegisteredFlow:
    return RegisteredFlow(
        org_id=item.org_id,
        name=item.flow_name,
        version=item.resolves_to or item.flow_version,
        artifact_uri=item.artifact_s3_uri,
        artifact_sha256=item.artifact_sha256,
        status=item.status,
        status_reason=item.status_reason,
        deployment_name=item.deployment_name,
        namespace=item.namespace,
        tags=item.tags,
        registered_at=item.registered_at,
    )
