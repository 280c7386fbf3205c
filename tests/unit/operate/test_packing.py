"""Packing directories as dependency packages."""

from __future__ import annotations

import os
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import RequestInvalid
from dagy_queue.operate.packing import is_left_out, pack
from tests.unit.operate.registry_kit import FILES, write
from tests.unit.strategies import unhurried


def packed(directory: Path, target: Path) -> bytes:
    pack(directory, target)
    return target.read_bytes()


def test_a_package_has_the_files_sorted_and_nothing_else(tmp_path: Path) -> None:
    pack(write(tmp_path / "deps", FILES), tmp_path / "deps.zip")
    with ZipFile(tmp_path / "deps.zip") as archive:
        assert archive.namelist() == ["deep/__init__.py", "deep/er/helpers.py", "requirements.txt", "z.bin"]
        assert {name: archive.read(name).decode() for name in archive.namelist()} == FILES


def test_the_same_files_give_the_same_bytes_whenever_and_wherever_they_were_written(tmp_path: Path) -> None:
    first = write(tmp_path / "one", FILES)
    second = write(tmp_path / "two", dict(reversed(FILES.items())))
    for number, file in enumerate(second.rglob("*")):
        if file.is_file():
            file.chmod(0o600)
        os.utime(file, (number * 1e8, number * 1e8))
    assert packed(first, tmp_path / "1.zip") == packed(second, tmp_path / "2.zip")
    (second / "z.bin").write_text("\1")
    assert packed(first, tmp_path / "1.zip") != packed(second, tmp_path / "2.zip")


@unhurried
@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4}){0,2}\.py", fullmatch=True), st.text(), min_size=1))
def test_what_is_packed_is_what_was_there(tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]) -> None:
    directory = tmp_path_factory.mktemp("packing")
    source = directory / "source"
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(text.encode())
    pack(source, directory / "a.zip")
    with ZipFile(directory / "a.zip") as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == files
        assert archive.namelist() == sorted(files)


def test_what_is_hidden_or_compiled_is_left_out(tmp_path: Path) -> None:
    left_out = {
        ".git/config": "",
        ".env": "TOKEN=1",
        "a/__pycache__/a.cpython-311.pyc": "",
        "b.pyc": "",
        ".venv/x.py": "",
    }
    pack(write(tmp_path / "deps", {**FILES, **left_out}), tmp_path / "deps.zip")
    with ZipFile(tmp_path / "deps.zip") as archive:
        assert set(archive.namelist()) == FILES.keys()


@pytest.mark.parametrize("name", [".git", ".env", "__pycache__", "a.pyc"])
def test_what_is_left_out_is_known_by_its_name(name: str) -> None:
    assert is_left_out(name)
    assert not is_left_out(f"x{name}x")


@pytest.mark.parametrize("target", ["/etc/passwd", "deps/z.bin", "."])
def test_links_are_not_packed(tmp_path: Path, target: str) -> None:
    directory = write(tmp_path / "deps", FILES)
    (directory / "link").symlink_to(target)
    with pytest.raises(RequestInvalid, match=r"deps/link.*put a copy where the link is"):
        pack(directory, tmp_path / "deps.zip")


@pytest.mark.parametrize("files", [{}, {".hidden": ""}])
def test_a_directory_without_files_is_no_package(tmp_path: Path, files: dict[str, str]) -> None:
    directory = tmp_path / "deps"
    directory.mkdir()
    with pytest.raises(RequestInvalid, match="a directory with files in it"):
        pack(write(directory, files), tmp_path / "deps.zip")
