"""One entry of an archive, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO, NamedTuple


class Entry(NamedTuple):
    """What an archive says of an entry. ``size`` may be a lie: only reading tells.

    ``open`` gives the content; reading it raises ArchiveError if it is damaged.
    """

    name: str
    size: int
    is_file: bool
    is_directory: bool
    open: Callable[[], AbstractContextManager[IO[bytes]]]
