"""What is built: the version, the commit, and whether the checkout has changes that no commit has."""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
DIGITS = 12
"""Of a commit, in tags."""


class BuildFailed(Exception):
    """The image could not be built or pushed; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A state of the checkout."""

    version: str
    commit: str
    """Whole; '' where there is no git."""
    dirty: bool
    created: str
    """When it was committed, so that the same commit has the same labels; of a dirty one, now."""
    url: str = ""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of an image of it: no two commits have one in common, so a repository may refuse to change any."""
        short = self.commit[:DIGITS]
        if self.dirty:
            return (f"{short}-dirty",) if short else ("dirty",)
        return (f"{self.version}-{short}", short)

    @property
    def revision(self) -> str:
        """The commit, as labels have it."""
        return f"{self.commit}-dirty" if self.dirty and self.commit else self.commit


def read_source(root: Path, image: str) -> Source:
    """Return the state of a checkout. Without git everything counts as changed."""
    project = root / ("worker_image" if image == "worker" else ".") / "pyproject.toml"
    version = tomllib.loads(project.read_text())["project"]["version"]
    commit = _git(root, "rev-parse", "HEAD")
    dirty = not commit or bool(_git(root, "status", "--porcelain"))
    committed = "" if dirty else _git(root, "show", "--no-patch", "--format=%cI", "HEAD")
    created = committed or datetime.now(UTC).isoformat(timespec="seconds")
    return Source(version=version, commit=commit, dirty=dirty, created=created, url=_url(root))


def _url(root: Path) -> str:
    """Return where the code is, for people; an address with a password is nobody's business."""
    url = _git(root, "config", "--get", "remote.origin.url")
    return url.removesuffix(".git") if url.startswith("https://") and "@" not in url else ""


def _git(root: Path, *arguments: str) -> str:
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
