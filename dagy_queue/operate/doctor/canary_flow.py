"""The flow that ``dagy-queue doctor --canary`` launches: it returns what it is given."""

from __future__ import annotations

from typing import Any

from dagy import flow, task


@task
def echo(value: Any) -> Any:
    """Return the value."""
    print(f"canary: {value}")
    return value


@flow(name="dagy-canary", version="1.0.0")
def canary(value: Any) -> Any:
    """Return the value through a task."""
    return echo(value)
