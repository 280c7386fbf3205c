"""Registered flows: writing a version with its artifact, finding one. All reads are by org."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pynamodb.exceptions import DoesNotExist

from dagy_queue.records.flow_model import FlowModel, flow_key


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredFlow:
    """One version of a flow, as the registry has it. Without ``artifact_sha256`` the artifact is not checked."""

    org_id: str
    name: str
    version: str
    artifact_uri: str
    artifact_sha256: str


def register_flow(flow: RegisteredFlow, spec: Mapping[str, Any]) -> None:
    """Write a version and point 'latest' at it. A version is immutable: the same one may be written again unchanged.

    Raises RequestInvalid if a name is wrong or the version exists with another artifact or spec, or an AwsError.
    """
    FlowModel(
        flow_name=flow.name,
        flow_version=flow.version,
        org_id=flow.org_id,
        spec=spec,
        artifact_s3_uri=flow.artifact_uri,
        artifact_sha256=flow.artifact_sha256,
    ).save()


def find_flow(org_id: str, name: str, version: str) -> RegisteredFlow | None:
    """Return a version of a flow ('latest': the one registered last); None if there is none. Raises an AwsError."""
    try:
        item = FlowModel.get(flow_key(org_id, name), version, consistent_read=True)
    except DoesNotExist:
        return None
    return RegisteredFlow(
        org_id=item.org_id,
        name=item.flow_name,
        version=item.resolves_to or item.flow_version,
        artifact_uri=item.artifact_s3_uri,
        artifact_sha256=item.artifact_sha256,
    )
