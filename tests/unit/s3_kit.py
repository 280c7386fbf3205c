"""An S3 of some objects in memory, with the rules that reading one in parts depends on."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, ResponseStreamingError


@dataclass
class FakeS3:
    """Stands in for boto3's client, and breaks off ``broken_reads`` of its answers."""

    objects: dict[str, bytes] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    broken_reads: int = 0

    def get_object(self, *, Bucket: str, Key: str, Range: str, IfMatch: str = "") -> dict[str, Any]:  # noqa: ARG002, N803
        """Answer with a part of an object."""
        self.reads.append(Range)
        if Key not in self.objects:
            raise refusal("NoSuchKey", 404)
        content = self.objects[Key]
        tag = f'"{hash(content)}"'
        if IfMatch and IfMatch != tag:
            raise refusal("PreconditionFailed", 412)
        first, last = map(int, Range.removeprefix("bytes=").split("-"))
        part = content[first : last + 1]
        if not part:
            raise refusal("InvalidRange", 416)
        if self.broken_reads:
            self.broken_reads -= 1
            return {"Body": Broken(), "ETag": tag, "ContentRange": f"bytes {first}-{last}/{len(content)}"}
        total = len(content)
        return {"Body": io.BytesIO(part), "ETag": tag, "ContentRange": f"bytes {first}-{first + len(part)}/{total}"}


class Broken:
    """A body whose connection breaks."""

    def read(self) -> bytes:
        """Fail as botocore does."""
        raise ResponseStreamingError(error="connection reset")


def refusal(code: str, status: int) -> ClientError:
    """Return the error that botocore raises for an answer."""
    answer: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")
