"""Building and registering a flow: artifact to S3, version to DynamoDB. ``dagy-queue flow push`` calls it."""

from __future__ import annotations

import json
from pathlib import Path

from dagy.build import build_artifact
from dagy.errors import DagyError
from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.errors import Problem, RequestInvalid, SettingsInvalid
from dagy_queue.records.flows import RegisteredFlow, register_flow
from dagy_queue.records.models import LATEST, bind_models
from dagy_queue.requests.names import NAME_RULE, is_name
from dagy_queue.settings import Settings


def push_flow(
    settings: Settings, file: Path, *, org_id: str, version: str | None = None, flow: str | None = None
) -> RegisteredFlow:
    """Build the artifact of a flow file, upload it and register the version; return what was registered.

    Raises RequestInvalid if the file holds no such flow or the version exists with other content, SettingsInvalid
    without an artifact bucket, or an AwsError.
    """
    bucket = settings.storage.artifact_bucket
    if not bucket:
        raise SettingsInvalid(
            "set DAGY_ARTIFACT_BUCKET to the S3 bucket that keeps flow artifacts. "
            "On a laptop, `dagy-queue up` makes one, and `source .dagy/env` leads to it"
        )
    try:
        artifact = build_artifact(file, version=version, flow=flow)
    except DagyError as exc:
        raise RequestInvalid(f"{file} cannot be built: {exc}") from exc
    spec = artifact.spec
    named = {"org": org_id, "flow": spec.name, "version": spec.version}
    if problems := [Problem(what, name, NAME_RULE) for what, name in named.items() if not is_name(name)]:
        raise RequestInvalid(problems, "flow")
    if spec.version == LATEST:
        raise RequestInvalid([Problem("version", LATEST, "any name but this one, which means the newest")], "flow")
    key = f"flows/{org_id}/{spec.name}/{spec.version}/{artifact.sha256[:16]}/artifact.zip"
    with mapped("s3:PutObject"):
        AwsClients(settings.aws).s3.put_object(Bucket=bucket, Key=key, Body=artifact.content)
    registered = RegisteredFlow(
        org_id=org_id,
        name=spec.name,
        version=spec.version,
        artifact_uri=f"s3://{bucket}/{key}",
        artifact_sha256=artifact.sha256,
    )
    bind_models(settings)
    register_flow(registered, json.loads(spec.to_json()))
    return registered
