"""S3 as the worker needs it: small objects in memory, large ones to a file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from dagy_worker.aws import AwsError, AwsRefused, Patience, errors_mapped, make_client, require_time
from dagy_worker.errors import StorageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
ATTEMPTS = 4
"""Tries per request, with botocore's backoff; AWS_MAX_ATTEMPTS overrides it, as everywhere in AWS's tools."""
_READS = 3
_CHUNK = 1 << 20
_NOT_THERE = frozenset({403, 404})
"""S3 answers 403 for an object that does not exist to those who may not list the bucket."""


class _Target(Protocol):
    """Where the content of an object goes: a file or a buffer."""

    def write(self, data: bytes, /) -> int: ...
    def seek(self, position: int, /) -> int: ...
    def truncate(self) -> int: ...


class Storage:
    """One process's client of S3. ``deadline`` is the ``time.monotonic()`` after which nothing is tried any more."""

    def __init__(self, environ: Mapping[str, str], deadline: float | None = None) -> None:
        """Raises StorageError if no client can be made."""
        self._deadline = deadline
        with _named("cannot make an S3 client"):
            self._client: S3Client = make_client("s3", environ, _patience(environ).until(deadline))

    def read(self, uri: str) -> bytes:
        """Return a small object. Raises StorageError."""
        buffer = io.BytesIO()
        self._copy(uri, buffer, None)
        return buffer.getvalue()

    def find(self, uri: str) -> bytes | None:
        """Return a small object; None if it does not exist, or may not be read. Raises StorageError."""
        try:
            return self.read(uri)
        except StorageError as exc:
            if isinstance(exc.__cause__, AwsRefused) and exc.__cause__.status in _NOT_THERE:
                return None
            raise

    def download(self, uri: str, file: Path, most: int | None = None) -> str:
        """Write an object to a file and return its SHA-256 in hex. Raises StorageError, also for more than ``most``."""
        with file.open("wb") as target:
            return self._copy(uri, target, most)

    def write(self, uri: str, content: bytes, content_type: str) -> None:
        """Create or replace an object. Raises StorageError."""
        bucket, key = split_uri(uri)
        with _named(f"cannot write {uri}"), errors_mapped():
            require_time(self._deadline)
            self._client.put_object(Bucket=bucket, Key=key, Body=content, ContentType=content_type)

    def close(self) -> None:
        """Close the connections: a process that forks must not share them."""
        self._client.close()

    def _copy(self, uri: str, target: _Target, most: int | None) -> str:
        """botocore repeats the request but not the reading of the body, which fails on its own."""
        bucket, key = split_uri(uri)
        with _named(f"cannot read {uri}"):
            for reading in range(1, _READS + 1):
                target.seek(0)
                target.truncate()
                with errors_mapped():
                    require_time(self._deadline)
                    answer = self._client.get_object(Bucket=bucket, Key=key)
                _require_at_most(most, uri, answer["ContentLength"])
                try:
                    with errors_mapped():
                        return _received(answer["Body"], target)
                except AwsError:
                    if reading == _READS:
                        raise
        raise AssertionError("there is at least one reading")


def split_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and key of an ``s3://bucket/key`` URI. Raises StorageError for anything else."""
    parts = urlsplit(uri, allow_fragments=False)
    key = uri.removeprefix(f"s3://{parts.netloc}/")
    if parts.scheme != "s3" or not parts.netloc or not key or key == uri:
        raise StorageError(f"{uri!r} is not a URI of the form s3://bucket/key")
    return parts.netloc, key


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except AwsError as exc:
        raise StorageError(f"{what}: {exc}") from exc


def _require_at_most(most: int | None, uri: str, size: int) -> None:
    if most is not None and size > most:
        raise StorageError(f"cannot read {uri}: it has {size} bytes, and at most {most} are taken")


def _received(body: Any, target: _Target) -> str:
    digest = hashlib.sha256()
    for chunk in body.iter_chunks(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _patience(environ: Mapping[str, str]) -> Patience:
    given = environ.get("AWS_MAX_ATTEMPTS") or ATTEMPTS
    try:
        return Patience(CONNECT_SECONDS, READ_SECONDS, max(1, int(given)))
    except ValueError:
        raise StorageError(f"AWS_MAX_ATTEMPTS={given!r}: expected an integer of at least 1") from None
