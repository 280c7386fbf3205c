"""What the demo shows: a line for each part with its time, a live bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import calendar
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dagy_queue import BatchProgress, Phase
from scripts.demo_support.flights import Answer

LINE_SECONDS = 5.0
"""How often a pipe gets a line of progress."""
STARTED_AT = "DAGY_DEMO_STARTED"
"""The launcher's start, in seconds since the epoch."""


class Part:
    """One part of the demo; ``note`` is what its line says when it is done."""

    def __init__(self, status: str) -> None:
        self.note = status


class Screen:
    """The demo's output, and how long each part took."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._seconds: dict[str, float] = {}

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print a line."""
        self._console.print(text, style=style, markup=False)

    @contextmanager
    def part(self, name: str, status: str) -> Iterator[Part]:
        """Time a part, show its status meanwhile and its note afterwards. Nothing is said of a part that fails."""
        part = Part(status)
        begin = time.monotonic()
        with self._console.status(f"{escape(name)}: {escape(status)}"):
            yield part
        self.done(name, time.monotonic() - begin, part.note)

    def done(self, name: str, seconds: float, note: str) -> None:
        """Show that a part is done."""
        self._seconds[name] = seconds
        self._console.print(f"[bold]{name:<12}[/] [cyan]{seconds:6.2f} s[/]  {escape(note)}")

    def environment_done(self) -> None:
        """Show how long the launcher took, which made the Python environment, if it was needed."""
        started = float(os.environ.get(STARTED_AT) or time.time())
        self.done("environment", max(0.0, time.time() - started), f"Python {sys.version.split()[0]} in {sys.prefix}")

    def follow(self, name: str, progress: Iterable[BatchProgress]) -> None:
        """Show the progress of a batch until it is over."""
        begin = time.monotonic()
        last = self._live(name, progress) if self._console.is_terminal else self._lines(name, progress)
        self.done(name, time.monotonic() - begin, counted(last.by_phase))

    def answer(self, answer: Answer) -> None:
        """Print the table of mean delays, latest carriers first."""
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
        table.add_column("carrier")
        for heading in (*calendar.month_abbr[1:], "year"):
            table.add_column(heading, justify="right")
        for carrier, cells in _rows(answer):
            table.add_row(carrier, *cells)
        self._console.print("\nMean departure delay in minutes, by carrier and month (2013, New York):\n", style="bold")
        self._console.print(table)
        self._console.print()

    def times(self) -> None:
        """Print how long each part took."""
        took = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self._seconds.items())
        self.say(f"took {sum(self._seconds.values()):.1f} s: {took}")

    def _live(self, name: str, progress: Iterable[BatchProgress]) -> BatchProgress:
        last = BatchProgress(0, {})
        columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.fields[phases]}"), console=self._console, transient=True) as bar:
            shown = bar.add_task(f"{name:<12}", total=None, phases="")
            for last in progress:
                bar.update(shown, completed=last.done, total=last.total, phases=counted(last.by_phase))
        return last

    def _lines(self, name: str, progress: Iterable[BatchProgress]) -> BatchProgress:
        last = BatchProgress(0, {})
        next_line = 0.0
        for last in progress:
            if time.monotonic() >= next_line:
                self.say(f"{name}: {last.done} of {last.total} ended; {counted(last.by_phase)}")
                next_line = time.monotonic() + LINE_SECONDS
        return last


def counted(by_phase: Mapping[Phase, int]) -> str:
    """Return counts by phase as text, in the order of a run's life."""
    return ", ".join(f"{by_phase[phase]} {phase.lower()}" for phase in Phase if by_phase.get(phase))


def _rows(answer: Answer) -> list[tuple[str, list[str]]]:
    rows = []
    for carrier in {carrier for carrier, _ in answer}:
        sums = [answer.get((carrier, month), (0, 0)) for month in range(1, 13)]
        whole_year = sum(minutes for minutes, _ in sums), sum(count for _, count in sums)
        rows.append((whole_year[0] / whole_year[1], carrier, [_mean(*cell) for cell in [*sums, whole_year]]))
    return [(carrier, cells) for _, carrier, cells in sorted(rows, reverse=True)]


def _mean(minutes: int, departures: int) -> str:
    return f"{minutes / departures:.1f}" if departures else "-"
