"""Registered flows: writing a version with its artifact, finding one. All reads are by org."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import DoesNotExist, PutError, PynamoDBException

from dagy_queue.aws.errors import mapped
from dagy_queue.errors import AwsRefused, Problem, RequestInvalid
from dagy_queue.records.models import LATEST, FlowModel, flow_key


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredFlow:
    """One version of a flow, as the registry has it."""

    org_id: str
    name: str
    version: str
    artifact_uri: str
    artifact_sha256: str


def register_flow(flow: RegisteredFlow, spec: Mapping[str, Any]) -> None:
    """Write a version and point 'latest' at it. A version is immutable: the same one may be written again unchanged.

    Raises RequestInvalid if the version exists with another artifact.
    """
    if flow.version == LATEST:
        raise RequestInvalid(
            [Problem("version", flow.version, f"any name but {LATEST!r}, which means the newest")], "flow"
        )
    key = flow_key(flow.org_id, flow.name)
    fields: dict[str, Any] = {
        "flow_name": flow.name,
        "org_id": flow.org_id,
        "artifact_s3_uri": flow.artifact_uri,
        "artifact_sha256": flow.artifact_sha256,
        "flow_spec_json": dict(spec),
    }
    with _mapped("dynamodb:PutItem"):
        try:
            FlowModel(key, flow.version, **fields).save(
                condition=FlowModel.flow_id.does_not_exist() | (FlowModel.artifact_sha256 == flow.artifact_sha256)
            )
        except PutError as exc:
            if exc.cause_response_code != "ConditionalCheckFailedException":
                raise
            raise RequestInvalid(
                f"flow {flow.name!r} version {flow.version!r} of org {flow.org_id!r} is registered with another "
                "artifact, and versions are immutable; choose a new version"
            ) from exc
        FlowModel(key, LATEST, **fields, resolves_to=flow.version).save()


def find_flow(org_id: str, name: str, version: str) -> RegisteredFlow | None:
    """Return a version of a flow ('latest': the one registered last); None if there is none."""
    with _mapped("dynamodb:GetItem"):
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


@contextmanager
def _mapped(operation: str) -> Iterator[None]:
    """PynamoDB wraps botocore's errors in its own; unwrap and map them."""
    with mapped(operation):
        try:
            yield
        except PynamoDBException as exc:
            if isinstance(exc.cause, ClientError | BotoCoreError):
                raise exc.cause from exc
            raise AwsRefused(f"{operation}: {exc}", operation=operation) from exc
