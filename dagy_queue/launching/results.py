"""What a flow returned, from the report that its worker left in S3: for runs whose Celery result is gone."""

from __future__ import annotations

from typing import Any

from dagy.contract import ContractError
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ids import AttemptId
from dagy_queue.launching.storage import ObjectStore, report_uri
from dagy_queue.settings import Settings


class NoResult(Exception):
    """There is no report that tells it."""


def find_result(settings: Settings, org_id: str, attempt_id: AttemptId) -> Any:
    """Return what a flow returned in its last attempt. Raises NoResult, AwsError."""
    uri = report_uri(settings.storage, org_id, attempt_id)
    if not uri:
        raise NoResult("no bucket is configured (DAGY_ARTIFACT_BUCKET)")
    objects = ObjectStore(AwsClients(settings.aws, max_connections=1).s3)
    try:
        report = objects.report(uri)
        if report is None:
            raise NoResult(f"{uri} is missing")
        return objects.result(report)
    except ContractError as exc:
        raise NoResult(str(exc)) from exc
