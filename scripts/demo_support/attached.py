"""A stack that runs already, known by the file of its environment: ``dagy-queue up`` writes one, compose.env is one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagy_queue.errors import LocalStackError
from dagy_queue.local.processes import Child
from dagy_queue.settings import Settings, load_settings

NEEDED = ("AWS_ENDPOINT_URL", "DAGY_EVENT_QUEUE_URL", "DAGY_REDIS_URL")


@dataclass(frozen=True, slots=True)
class AttachedStack:
    """What the demo needs to know of a stack; nothing of it is the demo's to start or stop."""

    environment: Mapping[str, str]
    log_dir: Path
    foundation: Sequence[Child] = ()

    @classmethod
    def of(cls, file: Path, log_dir: Path) -> AttachedStack:
        """Read the file of an environment. Raises LocalStackError if it leads to no stack."""
        found = read_environment(file.read_text())
        if missing := [name for name in NEEDED if not found.get(name)]:
            raise LocalStackError(f"{file} does not set {', '.join(missing)}: is it the environment of a stack?")
        return cls(found, log_dir)

    @property
    def redis_url(self) -> str:
        """Where Redis is."""
        return self.environment["DAGY_REDIS_URL"]

    @property
    def endpoint_url(self) -> str:
        """Where AWS is."""
        return self.environment["AWS_ENDPOINT_URL"]

    def settings(self) -> Settings:
        """Return the settings of this process, whose environment leads to the stack."""
        return load_settings()


def read_environment(text: str) -> dict[str, str]:
    """Return what a file of ``export NAME=value`` lines sets."""
    words = [word for line in text.splitlines() for word in shlex.split(line, comments=True) if "=" in word]
    return dict(word.split("=", 1) for word in words)
