"""Unpacking: what is written, and what is refused before it is."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagy_worker.archives.unpacking import extract
from dagy_worker.errors import ArchiveError

Entries = list[tuple[str, bytes]]
Make = Callable[[Entries], Path]
MIB = 1 << 20


def make_zip(path: Path, entries: Entries) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def make_tar(path: Path, entries: Entries, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in entries:
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def make_plain_tar(path: Path, entries: Entries) -> Path:
    return make_tar(path, entries, "w:")


@pytest.fixture(params=[make_zip, make_tar, make_plain_tar], ids=["zip", "tar.gz", "tar"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return lambda entries: request.param(tmp_path / "archive", entries)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def written(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_files_and_directories_are_written(make: Make, out: Path) -> None:
    extract(make([("a.txt", b"a"), ("./b/", b""), ("b/c/d.bin", bytes(range(256)) * 9000), ("b/", b"")]), out)
    assert (out / "a.txt").read_bytes() == b"a"
    assert (out / "b/c/d.bin").read_bytes() == bytes(range(256)) * 9000


def test_a_file_whose_name_begins_like_a_zip_does_no_harm(make: Make, out: Path) -> None:
    extract(make([("PKG-INFO", b"Name: x")]), out)
    assert written(out) == ["PKG-INFO"]


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.integers(), st.binary(max_size=2000), max_size=6))
def test_what_is_packed_comes_out(tmp_path_factory: pytest.TempPathFactory, contents: dict[int, bytes]) -> None:
    for pack in (make_zip, make_tar, make_plain_tar):
        directory = tmp_path_factory.mktemp("any")
        extract(pack(directory / "archive", [(f"d/{n}", c) for n, c in contents.items()]), directory / "out")
        assert {n: (directory / f"out/d/{n}").read_bytes() for n in contents} == contents


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "a/../../evil", "a\\..\\evil", "C:evil", "//evil"])
def test_names_that_lead_out_are_refused(make: Make, tmp_path: Path, out: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="leads out of the archive"):
        extract(make([(name, b"x")]), out)
    assert written(out) == []
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a\nb", "has control characters in its name"),
        ("x" * 300, "its name is too long"),
        ("d/" * 65 + "f", "lies more than 64 directories deep"),
    ],
)
def test_names_that_no_honest_archive_has_are_refused(make: Make, out: Path, name: str, problem: str) -> None:
    with pytest.raises(ArchiveError, match=problem):
        extract(make([(name, b"x")]), out)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "./a"), ("a/b", "a/b"), ("a", "a/b"), ("a/b", "a"), ("d/", "d"), ("f", "f/")]
)
def test_entries_that_are_there_twice_are_refused(make: Make, out: Path, names: tuple[str, str]) -> None:
    with pytest.raises(ArchiveError, match="is there twice, or as a file and a directory"):
        extract(make([(name, b"") for name in names]), out)


def test_names_that_differ_by_case_are_two_files(make: Make, out: Path) -> None:
    extract(make([("A", b"1"), ("a", b"2")]), out)
    assert [(out / name).read_bytes() for name in "Aa"] == [b"1", b"2"]


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ArchiveError, match="entry 'link' is a link or a device"):
        extract(tmp_path / "links.zip", tmp_path / "zip")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE):
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        with tarfile.open(tmp_path / "links.tar", "w") as tar:
            tar.addfile(info)
        with pytest.raises(ArchiveError, match="entry 'link' is a link or a device"):
            extract(tmp_path / "links.tar", tmp_path / f"tar{kind!r}")


def test_modes_are_not_taken_over(tmp_path: Path, out: Path) -> None:
    info = tarfile.TarInfo("tool")
    info.mode, info.uid = 0o4777, 0
    with tarfile.open(tmp_path / "modes.tar", "w") as tar:
        tar.addfile(info, io.BytesIO())
    extract(tmp_path / "modes.tar", out)
    assert stat.S_IMODE((out / "tool").stat().st_mode) & ~0o666 == 0


def test_bombs_are_refused_before_they_are_written(make: Make, out: Path) -> None:
    with pytest.raises(ArchiveError, match="more than 1000 bytes"):
        extract(make([("small", b"x"), ("large", bytes(2000))]), out, max_bytes=1000)
    assert written(out) == ["small"]


def test_more_entries_than_are_sane_are_refused(make: Make, out: Path) -> None:
    with pytest.raises(ArchiveError, match="more than 10 entries"):
        extract(make([(str(n), b"") for n in range(11)]), out, max_entries=10)


@pytest.mark.parametrize("pack", [make_zip, make_tar], ids=["zip", "tar.gz"])
def test_what_grows_more_than_data_do_is_a_bomb(
    pack: Callable[[Path, Entries], Path], tmp_path: Path, out: Path
) -> None:
    archive = pack(tmp_path / "bomb", [("zeros", bytes(80 * MIB))])
    with pytest.raises(ArchiveError, match="more than 200 times its own size, as a decompression bomb has"):
        extract(archive, out)
    assert written(out) == []


def test_a_zip_whose_entries_say_that_they_are_small_is_damaged(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "lies.zip", [("lie", bytes(5000))])
    data = archive.read_bytes()
    archive.write_bytes(data.replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(ArchiveError, match="damaged"):
        extract(archive, out)
    assert sum(path.stat().st_size for path in out.iterdir()) <= 10


def test_a_tar_header_of_gigabytes_is_not_loaded(tmp_path: Path, out: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 3 << 30
    with gzip.open(tmp_path / "header.tar.gz", "wb") as file:
        file.write(header.tobuf())
        for _ in range(8):
            file.write(bytes(MIB))
    with pytest.raises(ArchiveError, match="a header says that it has 3221225472 bytes"):
        extract(tmp_path / "header.tar.gz", out)


def test_a_sparse_file_counts_with_its_full_size(tmp_path: Path, out: Path) -> None:
    info = tarfile.TarInfo("sparse")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"%011o\0" % (10 << 30)  # the real size
    header[386:398] = header[398:410] = b"%011o\0" % 0
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "sparse.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(ArchiveError, match="more than"):
        extract(tmp_path / "sparse.tar", out)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 and nothing else", b"\x1f\x8b and nothing"])
def test_what_is_no_archive_is_refused(tmp_path: Path, out: Path, content: bytes) -> None:
    (tmp_path / "junk").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"damaged or not supported|neither a ZIP, a tar nor a tar\.gz file"):
        extract(tmp_path / "junk", out)


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    tar = make_plain_tar(tmp_path / "plain.tar", [("a", b"a")])
    (tmp_path / "packed.tar.bz2").write_bytes(bz2.compress(tar.read_bytes()))
    with pytest.raises(ArchiveError, match=r"neither a ZIP, a tar nor a tar\.gz file"):
        extract(tmp_path / "packed.tar.bz2", tmp_path / "tar")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"a")
    with pytest.raises(ArchiveError, match="compressed in a way that is not supported"):
        extract(tmp_path / "packed.zip", tmp_path / "zip")


def test_an_encrypted_zip_is_refused(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "secret.zip", [("a", b"a")])
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="encrypted"):
        extract(archive, out)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([make_zip, make_tar, make_plain_tar]),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 255)), min_size=1, max_size=4),
    st.integers(1, 20_000),
)
def test_a_damaged_archive_is_refused_or_stays_inside(
    tmp_path_factory: pytest.TempPathFactory, pack: Callable[..., Path], damages: list[tuple[int, int]], end: int
) -> None:
    directory = tmp_path_factory.mktemp("damaged")
    archive = pack(directory / "archive", [("a", os.urandom(300)), ("b/c", b"c" * 5000)])
    content = bytearray(archive.read_bytes())
    for place, change in damages:
        content[place % len(content)] ^= change
    archive.write_bytes(content[:end])
    with contextlib.suppress(ArchiveError):
        extract(archive, directory / "out")
    assert {path.name for path in directory.iterdir()} == {"archive", "out"}
