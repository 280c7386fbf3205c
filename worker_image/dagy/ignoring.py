"""Which files an artifact leaves out: what never belongs into one, and what ``.dagyignore`` says.

``.dagyignore`` has the syntax of ``.gitignore`` and lies beside the flow's file, or at the top of its package. It is
read by pathspec, which only the build needs: it comes with the extra ``dagy-worker[build]``.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dagy.errors import BuildError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".dagyignore"
LEFT_OUT = (
    *(".env", ".env.*", ".netrc", ".pypirc", ".aws", ".ssh"),  # secrets
    *(".git", ".gitignore", ".hg", ".svn", ".idea", ".vscode", ".DS_Store", IGNORE_FILE, ".dagy"),
    *("__pycache__", "*.pyc", "*.pyo", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".cache"),
    *(".venv", "venv", ".tox", ".nox", "node_modules", ".ipynb_checkpoints", "*.egg-info"),
)
"""Names of files and directories that are left out unless ``.dagyignore`` asks for them, as in ``!.env.example``."""


class Ignored:
    """What is left out of an artifact, by paths below a directory."""

    def __init__(self, root: Path, places: list[Path]) -> None:
        """Read the ``.dagyignore`` of each place, which is ``root`` or below. Of several rules the last one counts."""
        self._root = root
        self._rules = [(place, rules) for place in places if (rules := _rules_of(place)) is not None]

    def __contains__(self, path: Path) -> bool:
        """Whether a file or directory is left out, by itself or with a directory above it."""
        below = path.relative_to(self._root)
        above = [self._root.joinpath(*below.parts[:count]) for count in range(1, len(below.parts))]
        return any(self._names(place, is_directory=True) for place in above) or self._names(
            path, is_directory=path.is_dir()
        )

    def _names(self, path: Path, *, is_directory: bool) -> bool:
        verdict = any(fnmatchcase(path.name, pattern) for pattern in LEFT_OUT)
        verdict = verdict or (is_directory and (path / "pyvenv.cfg").is_file())
        for place, rules in self._rules:
            if path.is_relative_to(place):
                name = PurePosixPath(path.relative_to(place)).as_posix() + ("/" if is_directory else "")
                said = rules.check_file(name).include
                verdict = verdict if said is None else said
        return verdict


def _rules_of(place: Path) -> GitIgnoreSpec | None:
    file = place / IGNORE_FILE
    if not file.is_file():
        return None
    try:
        from pathspec import GitIgnoreSpec
    except ImportError as exc:
        raise BuildError(f"reading {file} needs pathspec: pip install 'dagy-worker[build]'") from exc
    try:
        return GitIgnoreSpec.from_lines(file.read_text(encoding="utf-8").splitlines())
    except ValueError as exc:
        raise BuildError(f"{file} cannot be read: {exc}") from exc
