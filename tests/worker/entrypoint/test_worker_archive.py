"""Unpacking: what is written, and what is refused before it is."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dagy_worker.archive import extract
from dagy_worker.errors import ArchiveError

Entries = dict[str, bytes]


def make_zip(path: Path, entries: Entries) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, entries: Entries) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(params=[make_zip, make_tar], ids=["zip", "tar"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Entries], Path]:
    return lambda entries: request.param(tmp_path / "archive", entries)


def test_files_and_directories_are_written(make: Callable[[Entries], Path], tmp_path: Path) -> None:
    extract(make({"a.txt": b"a", "./b/": b"", "b/c/d.bin": bytes(range(256))}), tmp_path / "out")
    assert (tmp_path / "out/a.txt").read_bytes() == b"a"
    assert (tmp_path / "out/b/c/d.bin").read_bytes() == bytes(range(256))


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "a/../../evil", "a\\..\\evil"])
def test_names_that_lead_out_are_refused(make: Callable[[Entries], Path], tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="leads out of the archive"):
        extract(make({name: b"x"}), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ArchiveError, match="entry 'link' is a link or a device"):
        extract(tmp_path / "links.zip", tmp_path / "zip")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        with tarfile.open(tmp_path / "links.tar", "w") as tar:
            tar.addfile(info)
        with pytest.raises(ArchiveError, match="entry 'link' is a link or a device"):
            extract(tmp_path / "links.tar", tmp_path / f"tar{kind.decode()}")


def test_too_much_data_is_refused_before_it_is_written(make: Callable[[Entries], Path], tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="more than 1000 bytes"):
        extract(make({"small": b"x" * 10, "bomb": bytes(1_000)}), tmp_path / "out", max_bytes=1_000)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small"]


def test_too_many_entries_are_refused(make: Callable[[Entries], Path], tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="or 2 entries"):
        extract(make({"1": b"", "2": b"", "3": b""}), tmp_path / "out", max_entries=2)


def test_entries_that_contradict_each_other_are_refused(make: Callable[[Entries], Path], tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="damaged or not supported"):
        extract(make({"a": b"file", "a/b": b"below a file"}), tmp_path / "out")


def test_a_damaged_archive_is_refused(make: Callable[[Entries], Path], tmp_path: Path) -> None:
    archive = make({"a": b"some content that is long enough to be damaged"})
    content = bytearray(archive.read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    archive.write_bytes(content)
    with pytest.raises(ArchiveError):
        extract(archive, tmp_path / "out")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ArchiveError, match="neither a ZIP nor a tar file"):
        extract(tmp_path / "text", tmp_path / "out")
