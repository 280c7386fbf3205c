"""The entries of a ZIP file."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from dagy_worker.archives.entry import Entry
from dagy_worker.errors import ArchiveError

_MAGICS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
"""Of the first entry, of an archive that has none, and of one in parts: PK alone may begin the name of a tar's file."""


def is_zip(start: bytes) -> bool:
    """Tell by its first four bytes whether a file is a ZIP."""
    return start in _MAGICS


def zip_entries(file: Path) -> Iterator[Entry]:
    """Yield the entries. Raises ArchiveError if the file is damaged."""
    with _readable(), ZipFile(file) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_file = not info.is_dir() and kind in (0, stat.S_IFREG)
            yield Entry(info.filename, info.file_size, is_file, info.is_dir(), partial(_content, archive, info))


@contextmanager
def _content(archive: ZipFile, info: ZipInfo) -> Iterator[IO[bytes]]:
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ArchiveError(f"entry {info.filename!r} is compressed in a way that is not supported: use deflate")
    with _readable(), archive.open(info) as content:
        yield content


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (BadZipFile, zlib.error, EOFError, NotImplementedError) as exc:
        raise ArchiveError(f"damaged or not supported: {exc}") from exc
    except RuntimeError as exc:  # what zipfile raises for an encrypted entry
        raise ArchiveError(str(exc)) from exc
