"""The commands of the product's own processes, as the local stack starts them: written down here only."""

from __future__ import annotations

import sys
from collections.abc import Sequence

CELERY_APP = "dagy_queue.messaging.app"


def dispatcher(*arguments: str) -> list[str]:
    """Return the command of a dispatcher."""
    return [sys.executable, "-m", "dagy_queue.operate.cli", "dispatcher", *arguments]


def bridge(*arguments: str) -> list[str]:
    """Return the command of a bridge."""
    return [sys.executable, "-m", "dagy_queue.operate.cli", "bridge", *arguments]


def flower(*arguments: str, port: int = 5555) -> list[str]:
    """Return the command of Flower on loopback."""
    celery = [sys.executable, "-m", "celery", "-A", CELERY_APP]
    return [*celery, "flower", "--address=127.0.0.1", f"--port={port}", *arguments]


def command_of(name: str, arguments: Sequence[str]) -> list[str]:
    """Return the command of ``dispatcher``, ``bridge`` or ``flower``."""
    return {"dispatcher": dispatcher, "bridge": bridge, "flower": flower}[name](*arguments)
