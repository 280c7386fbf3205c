"""Packing a directory as a dependency package: the same files give the same bytes, so that the hash identifies them.

Entries are sorted, stored without compression (compressors differ between machines), and carry no times or modes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from dagy_queue.errors import Problem, RequestInvalid

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first time that a ZIP can tell."""
_UNIX = 3
_MODE = 0o100644 << 16
_CHUNK = 1 << 20


def pack(directory: Path, target: Path) -> None:
    """Write a directory's files into a new ZIP; what :func:`is_left_out` names is not in it.

    Raises RequestInvalid for links, whose content may be anybody's, and if there is nothing to pack.
    """
    found = sorted(_files(directory), key=lambda file: file.relative_to(directory).as_posix())
    if not found:
        raise RequestInvalid([Problem("path", str(directory), "a directory with files in it")], "package")
    with ZipFile(target, "w", ZIP_STORED) as archive:
        for file in found:
            info = ZipInfo(file.relative_to(directory).as_posix(), _EPOCH)
            info.create_system = _UNIX
            info.external_attr = _MODE
            info.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(info, "w") as entry:
                while chunk := source.read(_CHUNK):
                    entry.write(chunk)


def is_left_out(name: str) -> bool:
    """Tell whether a file or directory does not belong into a package: what is hidden, and what Python compiled."""
    return name.startswith(".") or name == "__pycache__" or name.endswith(".pyc")


def _files(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if is_left_out(path.name):
            continue
        if path.is_symlink():
            raise RequestInvalid(
                [Problem("path", str(path), "a file or directory; put a copy where the link is")], "package"
            )
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path
