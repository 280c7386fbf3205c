"""An object in S3 as a stream of bytes, read in parts: however slow its reader is, no connection waits for it.

The dispatcher reads manifests with it. All parts are of the same version: its tag is in ``tag`` once reading has begun.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from dagy_queue.aws.errors import mapped
from dagy_queue.errors import AwsRefused, AwsUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART = 4 * 1024 * 1024
"""Bytes of a part."""

CHANGED = "PreconditionFailed"
"""Code of the refusal that says that the object has another version now."""

_BEYOND = "InvalidRange"
_TRIES = 3


class ObjectStream(io.RawIOBase):
    """The bytes of an object. Reading raises AwsRefused (no such object or bucket, not allowed), AwsUnavailable."""

    def __init__(self, s3: S3Client, bucket: str, key: str, *, tag: str = "") -> None:
        self._s3, self._bucket, self._key = s3, bucket, key
        self.tag = tag
        """Version of the object; given, any other version is refused."""
        self._size: int | None = None
        self._fetched = 0
        self._part = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the current part goes."""
        if not self._part:
            self._part = memoryview(self._next_part())
        count = min(len(buffer), len(self._part))
        buffer[:count] = self._part[:count]
        self._part = self._part[count:]
        return count

    def _next_part(self) -> bytes:
        if self._size is not None and self._fetched >= self._size:
            return b""
        for left in reversed(range(_TRIES)):
            try:
                content = self._fetch()
                break
            except AwsUnavailable:
                if not left:
                    raise
        self._fetched += len(content)
        return content

    def _fetch(self) -> bytes:
        wanted: dict[str, Any] = {"Range": f"bytes={self._fetched}-{self._fetched + PART - 1}"}
        if self.tag:
            wanted["IfMatch"] = self.tag
        try:
            with mapped("s3:GetObject"):
                answer = self._s3.get_object(Bucket=self._bucket, Key=self._key, **wanted)
                content = answer["Body"].read()
        except AwsRefused as exc:
            if exc.code == _BEYOND and not self._fetched:
                self._size = 0  # an empty object has no first byte
                return b""
            raise
        self.tag = answer["ETag"]
        self._size = int(answer.get("ContentRange", "").rpartition("/")[2] or len(content))
        return content
