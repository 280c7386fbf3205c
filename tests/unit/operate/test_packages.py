"""Pushing dependency packages."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from functools import partial
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import boto3
import pytest

from dagy_queue.errors import RequestInvalid, SettingsInvalid
from dagy_queue.operate import packages
from dagy_queue.operate.packages import push_package
from dagy_queue.records.packages import DepPackage, find_packages
from dagy_queue.settings import Settings, load_settings
from tests.unit.operate.registry_kit import FILES, write


def zipped(path: Path, files: dict[str, str] | None = None) -> Path:
    with ZipFile(path, "w") as made:
        for name, text in (FILES if files is None else files).items():
            made.writestr(name, text)
    return path


def tarred(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, text in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            made.addfile(info, io.BytesIO(text.encode()))
    return path


def content_of(package: DepPackage) -> bytes:
    bucket, key = package.uri.removeprefix("s3://").split("/", 1)
    return boto3.client("s3", "us-east-1").get_object(Bucket=bucket, Key=key)["Body"].read()


@pytest.mark.parametrize(
    ("name", "make", "ending"),
    [("my-deps.zip", zipped, ".zip"), ("my-deps.tar.gz", tarred, ".tar.gz"), ("my-deps.tgz", tarred, ".tgz")],
)
def test_an_archive_is_uploaded_as_it_is_and_registered_with_its_hash(
    registry: Settings, tmp_path: Path, name: str, make: object, ending: str
) -> None:
    path = make(tmp_path / name)  # type: ignore[operator]
    pushed = push_package(registry, path, org_id="acme", version="1.0.0")
    assert (pushed.slug, pushed.version) == ("my-deps", "1.0.0")
    assert content_of(pushed) == path.read_bytes()
    assert pushed.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert pushed.uri == f"s3://artifacts/dep-packages/acme/my-deps/1.0.0/{pushed.sha256[:16]}/my-deps{ending}"
    assert find_packages("acme", ["my-deps", "my-deps@1.0.0"]) == [pushed, pushed]


def test_a_directory_is_packed_and_may_be_pushed_again_unchanged(registry: Settings, tmp_path: Path) -> None:
    directory = write(tmp_path / "my-deps", FILES)
    pushed = push_package(registry, directory, org_id="acme", version="1")
    (directory / "z.bin").touch()
    assert push_package(registry, directory, org_id="acme", version="1") == pushed
    with ZipFile(io.BytesIO(content_of(pushed))) as packed:
        assert set(packed.namelist()) == FILES.keys()
    (directory / "z.bin").write_text("changed")
    with pytest.raises(RequestInvalid, match="versions are immutable"):
        push_package(registry, directory, org_id="acme", version="1")


def test_a_directory_is_called_as_it_is_also_where_it_is_the_current_one(
    registry: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(tmp_path / "tools", FILES))
    assert push_package(registry, Path(), org_id="acme", version="1").slug == "tools"
    assert push_package(registry, Path(), org_id="acme", version="1", slug="other").slug == "other"


def hostile(path: Path, name: str, kind: str = "file") -> Path:
    with tarfile.open(path, "w:gz") as made:
        info = tarfile.TarInfo(name)
        info.type = {"file": tarfile.REGTYPE, "symlink": tarfile.SYMTYPE, "link": tarfile.LNKTYPE}[kind]
        info.linkname = "/etc/passwd"
        made.addfile(info)
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [("../x.py", "file"), ("/etc/x.py", "file"), ("x", "symlink"), ("x", "link"), ("a/../../x", "file")],
)
def test_what_a_container_would_refuse_is_not_uploaded(
    registry: Settings, tmp_path: Path, name: str, kind: str
) -> None:
    path = hostile(tmp_path / "deps.tar.gz", name, kind)
    with pytest.raises(RequestInvalid, match=r"path = .*deps\.tar\.gz.*a zip or tar\.gz of files that stay inside it"):
        push_package(registry, path, org_id="acme", version="1")
    assert "Contents" not in boto3.client("s3", "us-east-1").list_objects_v2(Bucket="artifacts")


def test_a_bomb_is_not_unpacked(registry: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "extract", partial(packages.extract, max_bytes=10_000))
    path = tmp_path / "deps.zip"
    with ZipFile(path, "w", ZIP_DEFLATED) as made:
        made.writestr(ZipInfo("zeros"), bytes(1_000_000), ZIP_DEFLATED)
    with pytest.raises(RequestInvalid, match="more than 10000 bytes"):
        push_package(registry, path, org_id="acme", version="1")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut off"])
def test_what_is_no_archive_is_refused(registry: Settings, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "deps.zip"
    path.write_bytes(content)
    with pytest.raises(RequestInvalid, match=r"a zip or tar\.gz"):
        push_package(registry, path, org_id="acme", version="1")


def test_what_is_neither_a_file_nor_a_directory_is_refused(registry: Settings, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "deps.zip")
    for name in ("deps.zip", "not-there.zip"):
        with pytest.raises(RequestInvalid, match="a file or a directory"):
            push_package(registry, tmp_path / name, org_id="acme", version="1")


def test_an_archive_with_nothing_in_it_is_refused(registry: Settings, tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match="with files in it"):
        push_package(registry, zipped(tmp_path / "deps.zip", {}), org_id="acme", version="1")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"org_id": "a#b"}, "org_id"),
        ({"org_id": ""}, "org_id"),
        ({"version": "latest"}, "version"),
        ({"slug": "a/b"}, "slug"),
    ],
)
def test_what_could_never_be_found_is_refused_before_anything_is_uploaded(
    registry: Settings, tmp_path: Path, fields: dict[str, str], problem: str
) -> None:
    with pytest.raises(RequestInvalid, match=problem):
        push_package(registry, zipped(tmp_path / "deps.zip"), **{"org_id": "acme", "version": "1"} | fields)
    assert "Contents" not in boto3.client("s3", "us-east-1").list_objects_v2(Bucket="artifacts")


def test_without_a_bucket_nothing_is_pushed(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="DAGY_ARTIFACT_BUCKET"):
        push_package(load_settings(), zipped(tmp_path / "deps.zip"), org_id="acme", version="1")
