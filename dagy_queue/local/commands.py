"""The commands of the product's own processes, as the local stack starts them: written down here only."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def dispatcher(*arguments: str) -> list[str]:
    """Return the command of a dispatcher."""
    return [sys.executable, "-m", "dagy_queue.operate.cli", "dispatcher", *arguments]


def bridge(*arguments: str) -> list[str]:
    """Return the command of a bridge."""
    return [sys.executable, "-m", "dagy_queue.operate.cli", "bridge", *arguments]


def api(*arguments: str) -> list[str]:
    """Return the command of the HTTP API."""
    return [sys.executable, "-m", "dagy_queue.operate.cli", "api", *arguments]


def flower(*arguments: str) -> list[str]:
    """Return the command of Flower."""
    return [sys.executable, "-m", "dagy_queue.operate.cli", "flower", *arguments]


def command_of(name: str, arguments: Sequence[str]) -> list[str]:
    """Return the command of ``dispatcher``, ``bridge``, ``api`` or ``flower``."""
    return {"dispatcher": dispatcher, "bridge": bridge, "api": api, "flower": flower}[name](*arguments)
