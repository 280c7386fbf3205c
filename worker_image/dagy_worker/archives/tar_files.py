"""The entries of a tar or tar.gz file. Imported only where there is one: an artifact is a ZIP."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from dagy_worker.archives.entry import Entry
from dagy_worker.errors import ArchiveError

_GZIP_MAGIC = b"\x1f\x8b"
_LARGEST_READ = 4 << 20
"""Bytes that are read at once, of a header as well: one of gigabytes, which tarfile would load, is a bomb."""


def tar_entries(file: Path) -> Iterator[Entry]:
    """Yield the entries. Raises ArchiveError if the file is damaged, or no tar file."""
    with file.open("rb") as plain:
        is_gzip = plain.read(2) == _GZIP_MAGIC
        plain.seek(0)
        source: Any = gzip.GzipFile(fileobj=plain) if is_gzip else plain
        try:
            archive = tarfile.open(fileobj=cast("IO[bytes]", _Bounded(source)), mode="r:")  # noqa: SIM115 - see below
        except tarfile.ReadError as exc:
            raise ArchiveError("neither a ZIP, a tar nor a tar.gz file") from exc
        with archive, _readable():
            for info in archive:
                size = info.size if info.isfile() else 0
                yield Entry(info.name, size, info.isfile(), info.isdir(), partial(_content, archive, info))


@contextmanager
def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[IO[bytes]]:
    content = archive.extractfile(info)
    if content is None:
        raise ArchiveError(f"entry {info.name!r} has no content")
    with _readable(), content:
        yield content


class _Bounded:
    """A file that does not give much at once, and whose damages are ArchiveErrors."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise ArchiveError(f"a header says that it has {size} bytes")
        with _readable():
            return self._file.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        with _readable():
            return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as exc:
        raise ArchiveError(f"damaged or not supported: {exc}") from exc
