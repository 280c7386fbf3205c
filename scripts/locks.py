"""``./scripts/lock``: pins what the images install, for every platform and Python, with the hash of every file.

A lock begins with a digest of what it was made from, so that ``--check`` and the tests see without a network whether
it is up to date. Standard library and uv only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SERVICE = "pyproject.toml"
WORKER = "worker_image/pyproject.toml"
OLDEST_PYTHON = "3.11"
_DIGEST = re.compile(r"^# from: (sha256:[0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """One file of pins: of a project's dependencies with some extras, or of what builds the wheels."""

    file: str
    projects: tuple[str, ...]
    extras: tuple[str, ...] = ()
    builds: bool = False
    within: str = ""
    """Another lock whose versions it keeps to."""

    @property
    def path(self) -> Path:
        """Where it is."""
        return ROOT / self.file

    def requirements(self) -> list[str]:
        """Return what is asked for. Our own packages are not: the images install them from this checkout."""
        return sorted({one for project in self.projects for one in self._of(_project(project)) if not _is_ours(one)})

    def digest(self) -> str:
        """Return the digest of what it is made from."""
        text = json.dumps([OLDEST_PYTHON, self.requirements(), self.within])
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def is_current(self) -> bool:
        """Tell whether the file was made from what there is now."""
        found = _DIGEST.search(self.path.read_text()) if self.path.exists() else None
        return found is not None and found[1] == self.digest()

    def write(self, uv: Sequence[str], *, upgrade: bool) -> None:
        """Have uv pin it; versions that are pinned already stay, unless they are upgraded."""
        options = [
            "--universal",
            "--python-version",
            OLDEST_PYTHON,
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
        ]
        options += ["--constraint", str(ROOT / self.within)] if self.within else []
        options += ["--upgrade"] if upgrade else []
        asked = "\n".join(self.requirements())
        command = [*uv, "pip", "compile", "--quiet", *options, "--output-file", str(self.path), "-"]
        if subprocess.run(command, input=asked, text=True, check=False, stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"lock: {self.file} could not be pinned; what uv says is above")
        pins = "".join(line for line in self.path.read_text().splitlines(True) if not line.startswith("#"))
        self.path.write_text(f"# Made by ./scripts/lock; do not edit.\n# from: {self.digest()}\n{pins}")

    def _of(self, project: dict[str, Any]) -> Iterator[str]:
        if self.builds:
            yield from project["build-system"]["requires"]
            return
        yield from project["project"]["dependencies"]
        for extra in self.extras:
            yield from project["project"].get("optional-dependencies", {}).get(extra, ())


LOCKS = (
    Lock(file="worker_image/requirements.lock", projects=(WORKER,)),
    Lock(file="worker_image/build.lock", projects=(WORKER, SERVICE), builds=True),
    Lock(file="requirements.lock", projects=(SERVICE, WORKER), extras=("api", "monitor")),
    Lock(
        file="requirements-local.lock",
        projects=(SERVICE, WORKER),
        extras=("api", "local", "monitor"),
        within="requirements.lock",
    ),
)


def main() -> None:
    """Write the locks, or check them."""
    parser = argparse.ArgumentParser("./scripts/lock", description=__doc__.partition("\n\n")[0], allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="only say whether the locks are up to date")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of those pinned")
    asked = parser.parse_args()
    if asked.check:
        if stale := [lock.file for lock in LOCKS if not lock.is_current()]:
            sys.exit(f"lock: not up to date: {', '.join(stale)}; run ./scripts/lock")
        return
    uv = _uv()
    for lock in LOCKS:
        lock.write(uv, upgrade=asked.upgrade)


def _project(file: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / file).read_text())


def _is_ours(requirement: str) -> bool:
    return requirement.startswith("dagy-worker")


def _uv() -> list[str]:
    found = shutil.which(os.environ.get("UV") or "uv")
    if not found:
        sys.exit("lock: uv is needed to pin versions: `pip install uv`, or name one with UV=/path/to/uv")
    return [found]


if __name__ == "__main__":
    main()
