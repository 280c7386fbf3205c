"""S3: reading, writing, naming what failed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from dagy_worker.errors import StorageError
from dagy_worker.storage import Storage, split_uri
from tests.worker.entrypoint.conftest import BUCKET, Objects
from tests.worker.entrypoint.http_kit import Answer, Server, serving

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


def test_an_object_that_is_not_there_is_none(storage: Storage, objects: Objects) -> None:
    assert storage.find(objects.uri("nothing")) is None
    assert storage.find(objects.put("something", b"x")) == b"x"


def test_more_than_is_wanted_is_not_downloaded(storage: Storage, objects: Objects, tmp_path: Path) -> None:
    uri = objects.put("large", bytes(1001))
    with pytest.raises(StorageError, match=f"cannot read {uri}: it has 1001 bytes, and at most 1000 are taken"):
        storage.download(uri, tmp_path / "file", most=1000)
    assert (tmp_path / "file").read_bytes() == b""


def test_an_endpoint_that_is_no_url_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    with pytest.raises(StorageError, match="cannot make an S3 client: Invalid endpoint: not a url"):
        Storage(os.environ)


@pytest.mark.parametrize("attempts", ["many", "1.5"])
def test_a_number_of_attempts_that_is_none_is_a_clear_error(attempts: str) -> None:
    with pytest.raises(StorageError, match=f"AWS_MAX_ATTEMPTS='{attempts}': expected an integer"):
        Storage({"AWS_MAX_ATTEMPTS": attempts})


def storage_at(server: Server, monkeypatch: pytest.MonkeyPatch, deadline: float | None = None) -> Storage:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    return Storage({"AWS_REGION": "us-east-1"}, deadline)


def test_a_download_that_breaks_off_starts_again_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, whole = Answer(body=b"half", promised=13), Answer(body=b"half and half")
    with serving(broken, broken, whole, broken) as server:
        storage = storage_at(server, monkeypatch)
        storage.download(f"s3://{BUCKET}/k", tmp_path / "file")
        assert (tmp_path / "file").read_text() == "half and half"
        with pytest.raises(StorageError, match=f"cannot read s3://{BUCKET}/k: 4 read, but .* expected is 13"):
            storage.read(f"s3://{BUCKET}/k")
        storage.close()


def test_after_the_deadline_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answer(body=b"late")) as server:
        storage = storage_at(server, monkeypatch, time.monotonic() - 1)
        for call in (storage.read, lambda uri: storage.write(uri, b"", "text/plain")):
            with pytest.raises(StorageError, match="no time is left to ask AWS"):
                call(f"s3://{BUCKET}/k")
        storage.close()
        assert server.requests == []


def test_with_a_deadline_one_try_must_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answer(500)) as server:
        storage = storage_at(server, monkeypatch, time.monotonic() + 60)
        with pytest.raises(StorageError, match=f"cannot read s3://{BUCKET}/k"):
            storage.read(f"s3://{BUCKET}/k")
        storage.close()
        assert len(server.requests) == 1
