"""Building and registering a flow: artifact to S3, version to DynamoDB. ``dagy-queue flow push`` calls it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from dagy.build import build_artifact
from dagy.errors import DagyError
from dagy.spec import FLOW_SPEC, FlowSpec
from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.errors import Problem, RequestInvalid, SettingsInvalid
from dagy_queue.records.attributes import check, name_problems, spec_problems, version_problems
from dagy_queue.records.flows import RegisteredFlow, register_flow
from dagy_queue.records.models import bind_models
from dagy_queue.settings import Settings
from dagy_worker.archives.unpacking import extract
from dagy_worker.errors import ArchiveError

BUILT = ".zip"
"""How the name of a built artifact ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowNotes:
    """What a registration says beside the flow itself."""

    deployment_name: str = ""
    namespace: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


NO_NOTES = FlowNotes()


@dataclass(frozen=True, slots=True)
class _Upload:
    """What is registered: an artifact's bytes, their SHA-256 in hex, and its flow."""

    content: bytes = field(repr=False)
    sha256: str
    spec: FlowSpec


def push_flow(
    settings: Settings,
    file: Path,
    *,
    org_id: str,
    version: str | None = None,
    flow: str | None = None,
    notes: FlowNotes = NO_NOTES,
) -> RegisteredFlow:
    """Build the artifact of a flow file (or take a built one), upload it and register the version; return it.

    Raises RequestInvalid if the file holds no such flow or the version exists with other content, SettingsInvalid
    without an artifact bucket, or an AwsError.
    """
    bucket = artifact_bucket(settings)
    artifact = _built(file, version, flow) if file.suffix == BUILT else _build(file, version, flow)
    spec = artifact.spec
    document = json.loads(spec.to_json())
    check(
        "flow",
        name_problems(org=org_id, flow=spec.name),
        version_problems(version=spec.version),
        spec_problems(document),
    )
    key = f"flows/{org_id}/{spec.name}/{spec.version}/{artifact.sha256[:16]}/artifact.zip"
    with mapped("s3:PutObject"):
        AwsClients(settings.aws).s3.put_object(Bucket=bucket, Key=key, Body=artifact.content)
    registered = RegisteredFlow(
        org_id=org_id,
        name=spec.name,
        version=spec.version,
        artifact_uri=f"s3://{bucket}/{key}",
        artifact_sha256=artifact.sha256,
        deployment_name=notes.deployment_name,
        namespace=notes.namespace,
        tags=dict(notes.tags),
    )
    bind_models(settings)
    register_flow(registered, document)
    return registered


def artifact_bucket(settings: Settings) -> str:
    """Return the bucket that pushes go to. Raises SettingsInvalid if there is none."""
    if bucket := settings.storage.artifact_bucket:
        return bucket
    raise SettingsInvalid(
        "set DAGY_ARTIFACT_BUCKET to the S3 bucket that keeps flow artifacts. "
        "On a laptop, `dagy-queue up` makes one, and `source .dagy/env` leads to it"
    )


def _build(file: Path, version: str | None, flow: str | None) -> _Upload:
    try:
        artifact = build_artifact(file, version=version, flow=flow)
    except DagyError as exc:
        raise RequestInvalid(f"{file} cannot be built: {exc}") from exc
    return _Upload(artifact.content, artifact.sha256, artifact.spec)


def _built(file: Path, version: str | None, flow: str | None) -> _Upload:
    """Read what ``dagy build`` made, unpacked as a container would do it."""
    content = file.read_bytes()
    try:
        with TemporaryDirectory(prefix="dagy-artifact-") as scratch:
            extract(file, Path(scratch, "unpacked"))
            spec = FlowSpec.from_json(Path(scratch, "unpacked", FLOW_SPEC).read_text(encoding="utf-8"))
    except (ArchiveError, DagyError, OSError, UnicodeDecodeError) as exc:
        raise RequestInvalid(f"{file} is no artifact that `dagy build` made: {exc}") from exc
    for what, asked, found in (("version", version, spec.version), ("flow", flow, spec.name)):
        if asked not in (None, found):
            allowed = f"{found}, as the artifact says; build another one with `dagy build`"
            raise RequestInvalid([Problem(what, asked, allowed)], "flow")
    return _Upload(content, hashlib.sha256(content).hexdigest(), spec)
