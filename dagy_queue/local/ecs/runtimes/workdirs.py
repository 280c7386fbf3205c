"""Private working directories: each container has one, which is gone after it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path


class WorkDirs:
    """Makes and removes directories below one root: the one given, or a temporary one made when first needed."""

    def __init__(self, root: Path | None) -> None:
        self._given = root
        self._root: Path | None = None

    @property
    def root(self) -> Path:
        """The root, which exists from now on."""
        if self._root is None:
            self._root = self._given or Path(tempfile.mkdtemp(prefix="dagy-ecs-"))
            self._root.mkdir(parents=True, exist_ok=True)
        return self._root

    def make(self, key: str) -> Path:
        """Return a new directory for one container."""
        directory = self.root / key
        directory.mkdir(mode=0o700)
        return directory

    async def remove(self, directory: Path) -> None:
        """Remove a container's directory with all it left there."""
        if not _removed_empty(directory):
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def close(self) -> None:
        """Remove the root, if it was made here."""
        if self._given is None and self._root is not None:
            await asyncio.to_thread(shutil.rmtree, self._root, ignore_errors=True)


def _removed_empty(directory: Path) -> bool:
    try:
        directory.rmdir()
    except OSError:
        return False
    return True
