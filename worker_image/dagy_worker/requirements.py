"""Installing a ``requirements.txt`` with pip into a directory. Imported only where there is one.

pip finds its index as it always does: by its environment variables (PIP_INDEX_URL, ...) and its configuration files.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dagy_worker.errors import DependencyFailed

_LAST_LINES = 20
_MOST_OUTPUT = 4_000


def pip_install(requirements: Path, target: Path) -> None:
    """Install what a file asks for into ``target``. Raises DependencyFailed with pip's last lines."""
    command = [sys.executable, "-P", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-user", "--target", str(target), "--requirement", str(requirements)]
    if not os.environ.get("PIP_CACHE_DIR"):
        command.append("--no-cache-dir")
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
        raise DependencyFailed(f"pip failed with exit code {finished.returncode}: {_last_lines(finished.stdout)}")


def _last_lines(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return "\n".join(lines[-_LAST_LINES:])[-_MOST_OUTPUT:]
