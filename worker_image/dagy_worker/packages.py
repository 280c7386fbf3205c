"""Dependency packages: archives with Python modules and, if they like, a ``requirements.txt``.

Each is unpacked into a directory of its own, its requirements are installed beside it, and both become importable.
An archive whose content lies in a single top directory is taken as if it had been made inside that.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dagy_worker.archive import extract
from dagy_worker.errors import ArchiveError, DependencyFailed, StorageError
from dagy_worker.storage import Storage

REQUIREMENTS = "requirements.txt"
_OUTPUT_TAIL = 4_000


def install_package(uri: str, storage: Storage, directory: Path) -> list[str]:
    """Fetch and install one package into a new directory; return what to put on ``sys.path``.

    Raises DependencyFailed, naming the package, whatever goes wrong.
    """
    directory.mkdir(parents=True)
    archive, unpacked, site = directory / "archive", directory / "package", directory / "site"
    try:
        storage.download(uri, archive)
        extract(archive, unpacked)
    except (StorageError, ArchiveError) as exc:
        raise DependencyFailed(f"dependency package {uri}: {exc}") from exc
    archive.unlink()
    root = _root(unpacked)
    requirements = root / REQUIREMENTS
    if not requirements.is_file() or not _asks_for_something(requirements):
        return [str(root)]
    _pip_install(uri, requirements, site)
    return [str(root), str(site)]


def _root(unpacked: Path) -> Path:
    entries = list(unpacked.iterdir())
    if len(entries) == 1 and entries[0].is_dir() and (entries[0] / REQUIREMENTS).is_file():
        return entries[0]
    return unpacked


def _asks_for_something(requirements: Path) -> bool:
    lines = requirements.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.strip() and not line.strip().startswith("#") for line in lines)


def _pip_install(uri: str, requirements: Path, site: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--target", str(site), "--requirement", str(requirements)]
    finished = subprocess.run(  # noqa: S603 - the requirements are the package's to choose
        command,
        cwd=requirements.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if finished.returncode != 0:
        output = finished.stdout.strip()[-_OUTPUT_TAIL:]
        raise DependencyFailed(f"dependency package {uri}: pip failed with {finished.returncode}: {output}")
