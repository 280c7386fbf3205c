"""A measured figure, and the clock that measures it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of a benchmark's table."""

    what: str
    measured: str
    target: str = ""


@dataclass(slots=True)
class Stopwatch:
    """Seconds of one measured stretch, and CPU seconds that each watched process spent in it."""

    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)


@contextmanager
def measured(**processes: int) -> Iterator[Stopwatch]:
    """Measure the body; ``processes`` are ids of processes whose CPU time is measured as well (Linux)."""
    watch = Stopwatch()
    before = {name: _cpu_seconds(pid) for name, pid in processes.items()}
    start = time.perf_counter()
    try:
        yield watch
    finally:
        watch.seconds = time.perf_counter() - start
        watch.cpu = {name: _cpu_seconds(pid) - before[name] for name, pid in processes.items()}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
