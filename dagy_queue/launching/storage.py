"""Where a run's objects are in S3, and reading and writing them; used by the launcher and the second pass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dagy.contract import ContractError, RunReport
from dagy_queue.aws.errors import mapped
from dagy_queue.errors import AwsRefused
from dagy_queue.ids import AttemptId
from dagy_queue.settings import StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "404"})


def report_uri(storage: StorageSettings, org_id: str, attempt_id: AttemptId) -> str:
    """Return where the worker writes its report; '' if no bucket is configured."""
    return _attempt_uri(storage, org_id, attempt_id, "report.json")


def spec_uri(storage: StorageSettings, org_id: str, attempt_id: AttemptId) -> str:
    """Return where a run spec goes that is too large for the container's environment."""
    return _attempt_uri(storage, org_id, attempt_id, "spec.json")


def traces_uri(storage: StorageSettings, org_id: str, run_id: str) -> str:
    """Return where the worker puts the traceback of a failed run."""
    return f"s3://{storage.traces_bucket}/exceptions/{org_id}/{run_id}/traceback.txt" if storage.traces_bucket else ""


class ObjectStore:
    """Reads and writes the objects of runs."""

    def __init__(self, s3: S3Client) -> None:
        self._s3 = s3

    def report(self, uri: str) -> RunReport | None:
        """Return the worker's report; None if there is none (the worker never got so far).

        Raises AwsUnavailable if S3 does not answer, ContractError if the object is no report.
        """
        text = self._get(uri)
        return None if text is None else RunReport.from_json(text)

    def result(self, report: RunReport) -> Any:
        """Return a report's result, fetched if the report only refers to it."""
        if not report.result_uri:
            return report.result
        text = self._get(report.result_uri)
        if text is None:
            raise ContractError(f"the result object {report.result_uri} is missing")
        try:
            return json.loads(text)
        except ValueError as exc:
            raise ContractError(f"the result object {report.result_uri} is not JSON: {exc}") from exc

    def put(self, uri: str, text: str) -> None:
        """Write an object."""
        bucket, key = _split(uri)
        with mapped("s3:PutObject"):
            self._s3.put_object(Bucket=bucket, Key=key, Body=text.encode(), ContentType="application/json")

    def _get(self, uri: str) -> str | None:
        bucket, key = _split(uri)
        try:
            with mapped("s3:GetObject"):
                content = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except AwsRefused as exc:
            if exc.code in _MISSING:
                return None
            raise
        try:
            return content.decode()
        except UnicodeDecodeError as exc:
            raise ContractError(f"the object {uri} is not UTF-8: {exc}") from exc


def _attempt_uri(storage: StorageSettings, org_id: str, attempt_id: AttemptId, name: str) -> str:
    if not storage.artifact_bucket:
        return ""
    prefix = storage.results_prefix.strip("/")
    key = f"{org_id}/{attempt_id.run_id}/{attempt_id.attempt}/{name}"
    return f"s3://{storage.artifact_bucket}/{prefix}{'/' if prefix else ''}{key}"


def _split(uri: str) -> tuple[str, str]:
    """Return bucket and key, which may have any characters, as the worker reads it."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
