"""Unpacking archives from outside: ZIP and tar (any compression), into a fresh directory and nowhere else.

Names that lead out of the directory, links, devices, and more data than is sane are refused before they are written.
File modes and owners are not taken over.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from dagy_worker.errors import ArchiveError

MAX_BYTES = 2 << 30
MAX_ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    size: int
    is_file: bool
    is_directory: bool
    open: Callable[[], IO[bytes] | None]


def extract(archive: Path, target: Path, *, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
    """Unpack into ``target``, which is created. Raises ArchiveError, possibly with part of the entries written."""
    target.mkdir(parents=True)
    total = 0
    try:
        for count, entry in enumerate(_entries(archive), start=1):
            total += entry.size
            if total > max_bytes or count > max_entries:
                raise ArchiveError(f"more than {max_bytes} bytes or {max_entries} entries")
            _write(entry, target.joinpath(*_safe_parts(entry)))
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError) as exc:
        raise ArchiveError(f"damaged or not supported: {exc}") from exc
    except RuntimeError as exc:  # what zipfile raises for an encrypted entry
        raise ArchiveError(str(exc)) from exc


def _entries(archive: Path) -> Iterator[_Entry]:
    if zipfile.is_zipfile(archive):
        yield from _zip_entries(archive)
    elif tarfile.is_tarfile(archive):
        yield from _tar_entries(archive)
    else:
        raise ArchiveError("neither a ZIP nor a tar file")


def _zip_entries(archive: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_file = not info.is_dir() and kind in (0, stat.S_IFREG)
            yield _Entry(info.filename, info.file_size, is_file, info.is_dir(), partial(opened.open, info))


def _tar_entries(archive: Path) -> Iterator[_Entry]:
    with tarfile.open(archive) as opened:
        for info in opened:
            size = info.size if info.isfile() else 0
            yield _Entry(info.name, size, info.isfile(), info.isdir(), partial(opened.extractfile, info))


def _safe_parts(entry: _Entry) -> tuple[str, ...]:
    if not entry.is_file and not entry.is_directory:
        raise ArchiveError(f"entry {entry.name!r} is a link or a device")
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.name or "\0" in entry.name:
        raise ArchiveError(f"entry {entry.name!r} leads out of the archive")
    return path.parts


def _write(entry: _Entry, path: Path) -> None:
    if entry.is_directory:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source = entry.open()
    if source is None:
        raise ArchiveError(f"entry {entry.name!r} has no content")
    with source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
