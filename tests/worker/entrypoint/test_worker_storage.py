"""S3: reading, writing, naming what failed; and warming up before a fork."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from dagy_worker.errors import StorageError
from dagy_worker.storage import Storage, split_uri
from tests.worker.entrypoint.conftest import BUCKET, Objects

pytestmark = pytest.mark.usefixtures("in_aws")


@pytest.fixture
def storage(in_aws: None) -> Storage:
    return Storage(os.environ)


def test_what_is_written_can_be_read_and_downloaded(storage: Storage, objects: Objects, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    uri = objects.uri("a key/with ?#%+é.bin")
    storage.write(uri, content, "application/octet-stream")
    assert storage.read(uri) == content
    assert storage.download(uri, tmp_path / "file") == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "file").read_bytes() == content


@pytest.mark.parametrize(
    "uri", ["", "s3://", "s3://bucket", "s3://bucket/", "http://bucket/key", "bucket/key", "s3:///k"]
)
def test_what_is_not_an_s3_uri_is_refused(uri: str) -> None:
    with pytest.raises(StorageError, match="is not a URI of the form s3://bucket/key"):
        split_uri(uri)


def test_a_key_may_contain_anything() -> None:
    assert split_uri("s3://b/k//x?y#z") == ("b", "k//x?y#z")


def test_a_refusal_names_the_object(storage: Storage) -> None:
    with pytest.raises(StorageError, match=r"cannot read s3://no-such-bucket/k: .*NoSuchBucket"):
        storage.read("s3://no-such-bucket/k")
    with pytest.raises(StorageError, match=r"cannot write s3://no-such-bucket/k: .*NoSuchBucket"):
        storage.write("s3://no-such-bucket/k", b"", "text/plain")


def test_a_client_that_cannot_be_made_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    with pytest.raises(StorageError, match="cannot make an S3 client: Invalid endpoint: not a url"):
        Storage(os.environ)


class _Breaking:
    """A client whose first bodies break off in the middle."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def get_object(self, **_: Any) -> dict[str, Any]:
        self.failures -= 1
        return {"Body": self}

    def iter_chunks(self, _size: int) -> Any:
        yield b"half"
        if self.failures >= 0:
            raise ReadTimeoutError(endpoint_url="x")
        yield b" and half"


def test_a_download_that_breaks_off_starts_again_from_the_beginning(storage: Storage, tmp_path: Path) -> None:
    storage._client = _Breaking(failures=2)  # type: ignore[assignment]
    storage.download(f"s3://{BUCKET}/k", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "half and half"
    storage._client = _Breaking(failures=3)  # type: ignore[assignment]
    with pytest.raises(StorageError, match="Read timeout"):
        storage._copy(f"s3://{BUCKET}/k", io.BytesIO())
