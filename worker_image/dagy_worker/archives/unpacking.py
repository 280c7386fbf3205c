"""Unpacking archives from outside: ZIP, tar and tar.gz, into a fresh directory and nowhere else.

What leads out of the directory, links, devices, entries that are there twice, and more data than is sane are refused
before they are written. File modes and owners are not taken over.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from dagy_worker.archives.entry import Entry
from dagy_worker.archives.zip_files import is_zip, zip_entries
from dagy_worker.errors import ArchiveError

MAX_ARCHIVE_BYTES = 2 << 30
MAX_BYTES = 2 << 30
MAX_ENTRIES = 100_000
MAX_DEPTH = 64
"""Directories inside each other."""
MAX_RATIO = 200
"""Bytes unpacked for each byte of the archive; Python sources have about 5, DEFLATE can have 1,032."""
_ALWAYS_SANE = 64 << 20
"""Bytes that may be unpacked whatever the ratio."""
_CHUNK = 1 << 20
_DRIVE = re.compile(r"[A-Za-z]:")


def extract(archive: Path, target: Path, *, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
    """Unpack into ``target``, which is created. Raises ArchiveError, possibly with part of the entries written."""
    target.mkdir(parents=True)
    allowance = _Allowance(min(max_bytes, max(_ALWAYS_SANE, MAX_RATIO * archive.stat().st_size)), max_bytes)
    for count, entry in enumerate(_entries(archive), start=1):
        if count > max_entries:
            raise ArchiveError(f"more than {max_entries} entries")
        allowance.check(entry.size)
        _write(entry, target.joinpath(*_safe_parts(entry)), allowance)


def _entries(archive: Path) -> Iterator[Entry]:
    with archive.open("rb") as file:
        start = file.read(4)
    if is_zip(start):
        return zip_entries(archive)
    from dagy_worker.archives.tar_files import tar_entries

    return tar_entries(archive)


class _Allowance:
    """The bytes that may still be written."""

    def __init__(self, most: int, max_bytes: int) -> None:
        self._left = most
        self._problem = (
            f"more than {max_bytes} bytes"
            if most == max_bytes
            else f"more than {MAX_RATIO} times its own size, as a decompression bomb has"
        )

    def check(self, size: int) -> None:
        """Refuse an entry of this size before it is written. Raises ArchiveError."""
        if size > self._left:
            raise ArchiveError(self._problem)

    def take(self, size: int) -> None:
        """Count what is written."""
        self.check(size)
        self._left -= size


def _safe_parts(entry: Entry) -> tuple[str, ...]:
    name = entry.name
    if not entry.is_file and not entry.is_directory:
        raise ArchiveError(f"entry {name!r} is a link or a device")
    path = PurePosixPath(name)
    if any(ord(character) < 32 for character in name):
        raise ArchiveError(f"entry {name!r} has control characters in its name")
    if path.is_absolute() or ".." in path.parts or "\\" in name or _DRIVE.match(name):
        raise ArchiveError(f"entry {name!r} leads out of the archive")
    if len(path.parts) > MAX_DEPTH:
        raise ArchiveError(f"entry {name[:100]!r}... lies more than {MAX_DEPTH} directories deep")
    return path.parts


def _write(entry: Entry, path: Path, allowance: _Allowance) -> None:
    try:
        if entry.is_directory:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            _copy(entry, target, allowance)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as exc:
        raise ArchiveError(f"entry {entry.name!r} is there twice, or as a file and a directory") from exc
    except OSError as exc:
        problem = "its name is too long" if exc.errno == errno.ENAMETOOLONG else f"cannot be written: {exc.strerror}"
        raise ArchiveError(f"entry {entry.name[:100]!r}: {problem}") from exc


def _copy(entry: Entry, target: IO[bytes], allowance: _Allowance) -> None:
    """Copy an entry that may not be as large as it says."""
    count = 0
    with entry.open() as source:
        while chunk := source.read(_CHUNK):
            allowance.take(len(chunk))
            count += target.write(chunk)
    if count != entry.size:
        raise ArchiveError(f"entry {entry.name!r} says that it has {entry.size} bytes, and it has {count}")
