"""Waiting for a condition, with a bound and a clear failure: what tests use instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from dagy_queue import Phase, RunHandle, RunNotFound

T = TypeVar("T")
SECONDS = 30.0
_PAUSE = 0.01


def eventually(look: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """Return the first true value that ``look`` gives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := look():
            return value
        time.sleep(_PAUSE)
    raise AssertionError(f"after {seconds:g} seconds still not: {what}")


def until_phase(run: RunHandle, phase: Phase) -> None:
    """Wait until a run is in a phase."""

    def is_there() -> bool:
        try:
            return run.entry().phase is phase
        except RunNotFound:
            return False

    eventually(is_there, f"run {run.run_id} is {phase}")
