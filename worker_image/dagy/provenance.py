"""Which commit an artifact was built from, if its files are in a git repository. The build notes it in the metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_TIMEOUT_SECONDS = 30
_PATHS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class GitState:
    """The commit that is checked out, and whether one of the files is not as it is there."""

    commit: str
    dirty: bool

    def as_json(self) -> dict[str, str | bool]:
        """Return the state as in the metadata."""
        return asdict(self)


def git_state(root: Path, files: Sequence[Path]) -> GitState | None:
    """Return the state of the repository as far as it concerns the files; None outside of one, or without git."""
    from subprocess import SubprocessError

    try:
        commit = _git(root, "rev-parse", "HEAD").strip()
        changed = any(
            _git(root, "status", "--porcelain", "--ignored", "--untracked-files=all", "--", *paths)
            for paths in _portions(sorted(str(file.relative_to(root)) for file in files))
        )
    except (OSError, SubprocessError):
        return None
    return GitState(commit, changed)


def _git(root: Path, *arguments: str) -> str:
    import subprocess

    environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1"}
    return subprocess.run(  # noqa: S603 - our own command
        ["git", *arguments],  # noqa: S607 - the git that the author uses
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT_SECONDS,
        check=True,
    ).stdout


def _portions(paths: list[str]) -> Iterator[list[str]]:
    """Yield the paths in portions that fit on a command line."""
    return (paths[start : start + _PATHS_AT_ONCE] for start in range(0, len(paths), _PATHS_AT_ONCE))
