"""S3 as the worker needs it: small objects in memory, large ones to a file. The only room that knows botocore.

The botocore session, with its parsed service models, is made once per process and survives a fork: a warm fork
server calls :func:`warm` before forking, and a child's client then costs a few milliseconds. Clients are made in
the child, because they hold connections.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session, get_session

from dagy_worker.errors import StorageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS = 5
READ_SECONDS = 60
ATTEMPTS = 4
"""Tries per request, with botocore's backoff; AWS_MAX_ATTEMPTS overrides it, as everywhere in AWS's tools."""
_CHUNK = 1 << 20


class Storage:
    """One process's client of S3."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        try:
            self._client = _client(environ)
        except (BotoCoreError, ValueError) as exc:
            raise StorageError(f"cannot make an S3 client: {exc}") from exc

    def read(self, uri: str) -> bytes:
        """Return a small object."""
        buffer = io.BytesIO()
        self._copy(uri, buffer)
        return buffer.getvalue()

    def download(self, uri: str, file: Path) -> str:
        """Write an object to a file and return its SHA-256 in hex."""
        with file.open("wb") as target:
            return self._copy(uri, target)

    def write(self, uri: str, content: bytes, content_type: str) -> None:
        """Create or replace an object."""
        bucket, key = split_uri(uri)
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=content, ContentType=content_type)
        except (ClientError, BotoCoreError) as exc:
            raise StorageError(f"cannot write {uri}: {exc}") from exc

    def _copy(self, uri: str, target: io.BufferedIOBase) -> str:
        """botocore retries the request but not the reading of the body, which fails on its own."""
        bucket, key = split_uri(uri)
        for last in (False, False, True):
            target.seek(0)
            target.truncate()
            digest = hashlib.sha256()
            try:
                for chunk in self._client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
            except ClientError as exc:
                raise StorageError(f"cannot read {uri}: {exc}") from exc
            except BotoCoreError as exc:
                if last or not _broke_off(exc):
                    raise StorageError(f"cannot read {uri}: {exc}") from exc
            else:
                break
        return digest.hexdigest()


def split_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and key of an ``s3://bucket/key`` URI. Raises StorageError for anything else."""
    parts = urlsplit(uri, allow_fragments=False)
    key = uri.removeprefix(f"s3://{parts.netloc}/")
    if parts.scheme != "s3" or not parts.netloc or not key or key == uri:
        raise StorageError(f"{uri!r} is not a URI of the form s3://bucket/key")
    return parts.netloc, key


def warm() -> None:
    """Load everything that the first requests need, without a network."""
    credentials: dict[str, Any] = {"aws_access_key_id": "-", "aws_secret_access_key": "-"}
    client: Any = session().create_client("s3", region_name="us-east-1", **credentials)
    client.meta.events.register("before-send.s3", _answer)
    client.put_object(Bucket="warm", Key="up", Body=b"-")
    client.get_object(Bucket="warm", Key="up")["Body"].read()


@cache
def session() -> Session:
    """Return the process's session."""
    return get_session()


def _client(environ: Mapping[str, str]) -> S3Client:
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": int(environ.get("AWS_MAX_ATTEMPTS") or ATTEMPTS)},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # ECS sets AWS_REGION, which botocore does not read. None leaves the choice to botocore's own sources.
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None
    return cast("S3Client", session().create_client("s3", region_name=region, config=config))


def _broke_off(exc: BotoCoreError) -> bool:
    return type(exc).__name__ in ("IncompleteReadError", "ReadTimeoutError", "ResponseStreamingError")


class _Body(io.BytesIO):
    def stream(self, amount: int = _CHUNK, **_: Any) -> Any:
        while chunk := self.read(amount):
            yield chunk


def _answer(request: Any, **_: Any) -> AWSResponse:
    return AWSResponse(request.url, 200, HTTPHeaders(), _Body(b""))
