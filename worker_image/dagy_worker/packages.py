"""Dependency packages: archives with Python modules and, if they like, a ``requirements.txt``.

Each is unpacked into a directory of its own, its requirements are installed beside it, and both become importable. An
archive whose content lies in a single top directory is taken as if it had been made inside that.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path

from dagy.contract import RunSpec
from dagy_worker.archives.unpacking import MAX_ARCHIVE_BYTES, extract
from dagy_worker.errors import ArchiveError, DependencyFailed, StorageError
from dagy_worker.logs import JsonLog
from dagy_worker.package_store import PackageStore
from dagy_worker.storage import Storage

REQUIREMENTS = "requirements.txt"
_PACKAGE, _SITE = "package", "site"


def install_packages(
    spec: RunSpec, storage: Storage, environ: Mapping[str, str], log: JsonLog, directory: Path
) -> None:
    """Make a run's packages importable, in their order. ``directory`` is the container's own.

    Raises DependencyFailed, naming the package, whatever goes wrong.
    """
    store = PackageStore(directory / "packages", environ, spec.org_id)
    sha256s = spec.dep_package_sha256s or [""] * len(spec.dep_package_uris)
    places: list[str] = []
    for uri, sha256 in zip(spec.dep_package_uris, sha256s, strict=True):
        try:
            entry, was_there = _installed(uri, sha256.lower(), storage, store, directory / "package.archive")
        except (StorageError, ArchiveError, DependencyFailed, OSError) as exc:
            raise DependencyFailed(f"dependency package {uri}: {exc}") from exc
        places += [str(_root(entry / _PACKAGE)), *([str(entry / _SITE)] if (entry / _SITE).is_dir() else [])]
        log.emit("INFO", f"installed {uri}", "package_installed", task="", was_cached=was_there)
    _make_importable(places)


def _installed(uri: str, sha256: str, storage: Storage, store: PackageStore, archive: Path) -> tuple[Path, bool]:
    """Return where a package is installed, and whether it was before."""
    if sha256 and (found := store.find(sha256)):
        return found, True
    actual = storage.download(uri, archive, MAX_ARCHIVE_BYTES)
    if sha256 and actual != sha256:
        raise DependencyFailed(f"its SHA-256 is {actual}, and {sha256} is registered")
    if found := store.find(actual):
        return found, True
    return store.add(actual, lambda entry: _install(archive, entry)), False


def _install(archive: Path, entry: Path) -> None:
    extract(archive, entry / _PACKAGE)
    archive.unlink()
    requirements = _root(entry / _PACKAGE) / REQUIREMENTS
    if requirements.is_file() and _asks_for_something(requirements):
        from dagy_worker.requirements import pip_install

        pip_install(requirements, entry / _SITE)


def _root(unpacked: Path) -> Path:
    entries = list(unpacked.iterdir())
    if len(entries) == 1 and entries[0].is_dir() and (entries[0] / REQUIREMENTS).is_file():
        return entries[0]
    return unpacked


def _asks_for_something(requirements: Path) -> bool:
    lines = requirements.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.strip() and not line.strip().startswith("#") for line in lines)


def _make_importable(places: list[str]) -> None:
    """Put directories first on the path, of this process and of those that the flow starts."""
    if not places:
        return
    sys.path[:0] = places
    for place in places:
        if Path(place).name == _SITE:
            site.addsitedir(place)  # for its .pth files: it is on the path already
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*places, *([inherited] if inherited else [])])
