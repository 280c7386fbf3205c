"""Where installed dependency packages are kept: by their hash, for every run that needs them.

Without DAGY_PACKAGE_CACHE that is the container's own directory. With it, a directory that outlives the container (a
mounted volume), in which each org has its own part; an entry is moved there when it is complete, or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from dagy.contract import Env

_UNFINISHED = ".unfinished-"
_UNFINISHED_SECONDS = 86_400
"""After which an entry that nobody completed is taken for one of a container that was killed."""


class PackageStore:
    """The installed packages of one org. ``own`` is the container's directory."""

    def __init__(self, own: Path, environ: Mapping[str, str], org_id: str) -> None:
        shared = environ.get(Env.PACKAGE_CACHE)
        self._own = own
        self._root = Path(shared, quote(org_id, safe="").replace(".", "%2E") or "-") if shared else own
        self._kind = _kind(environ)

    def find(self, sha256: str) -> Path | None:
        """Return the directory of an installed package; None if there is none."""
        for root in (self._root, self._own):
            entry = root / f"{sha256}-{self._kind}"
            if entry.is_dir():
                return entry
        return None

    def add(self, sha256: str, install: Callable[[Path], None]) -> Path:
        """Have ``install`` fill a new directory; return where it is kept. Raises what ``install`` does, and OSError."""
        root = self._writable_root()
        unfinished = root / f"{_UNFINISHED}{os.urandom(8).hex()}"
        entry = root / f"{sha256}-{self._kind}"
        unfinished.mkdir()
        try:
            install(unfinished)
            unfinished.rename(entry)
        except OSError:
            if not entry.is_dir():  # another container was faster
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return entry

    def _writable_root(self) -> Path:
        """Return the shared directory, or the container's own where that cannot be written to."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            if os.access(self._root, os.W_OK):
                _tidy(self._root)
                return self._root
        except OSError:
            pass
        self._own.mkdir(parents=True, exist_ok=True)
        return self._own


def _kind(environ: Mapping[str, str]) -> str:
    """Return what tells apart installations of the same package: the interpreter, the machine, and pip's settings."""
    pip = sorted(f"{name}={value}" for name, value in environ.items() if name.startswith("PIP_"))
    parts = [sys.implementation.cache_tag or "", sys.platform, os.uname().machine, *pip]
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:16]


def _tidy(root: Path) -> None:
    for entry in root.glob(f"{_UNFINISHED}*"):
        if time.time() - entry.stat().st_mtime > _UNFINISHED_SECONDS:
            shutil.rmtree(entry, ignore_errors=True)
