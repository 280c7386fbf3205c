from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.aws import objects
from dagy_queue.aws.objects import CHANGED, ObjectStream
from dagy_queue.errors import AwsRefused, AwsUnavailable
from tests.unit.s3_kit import FakeS3


def stream_of(s3: Any, **options: Any) -> ObjectStream:
    return ObjectStream(s3, "bucket", "key", **options)


@given(content=st.binary(max_size=200), part=st.integers(1, 50), buffer=st.integers(1, 70))
def test_an_object_is_read_whole_in_parts(content: bytes, part: int, buffer: int) -> None:
    s3 = FakeS3({"key": content})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "PART", part)
        assert io.BufferedReader(stream_of(s3), buffer).read() == content
    assert len(s3.reads) == max(1, -(-len(content) // part))


def test_a_part_whose_connection_breaks_is_read_again() -> None:
    s3 = FakeS3({"key": b"content"}, broken_reads=2)
    assert stream_of(s3).readall() == b"content"


def test_a_connection_that_stays_broken_is_told() -> None:
    with pytest.raises(AwsUnavailable, match="connection reset"):
        stream_of(FakeS3({"key": b"content"}, broken_reads=3)).readall()


def test_all_parts_are_of_one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PART", 4)
    s3 = FakeS3({"key": b"old content"})
    stream = stream_of(s3)
    assert stream.read(4) == b"old "
    s3.objects["key"] = b"new content"
    with pytest.raises(AwsRefused) as caught:
        stream.read(4)
    assert caught.value.code == CHANGED


def test_another_version_than_the_one_given_is_refused() -> None:
    s3 = FakeS3({"key": b"content"})
    stream = stream_of(s3)
    stream.readall()
    assert stream_of(s3, tag=stream.tag).readall() == b"content"
    with pytest.raises(AwsRefused):
        stream_of(s3, tag='"another"').readall()


def test_an_object_that_is_not_there_is_refused() -> None:
    with pytest.raises(AwsRefused, match="NoSuchKey"):
        stream_of(FakeS3()).read(1)
