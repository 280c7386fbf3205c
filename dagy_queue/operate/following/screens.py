"""Showing looks: lines in a pipe, a live screen on a terminal. Failures are lines of their own on both."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from types import TracebackType
from typing import Any, Protocol, Self, TypedDict

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dagy_queue.interrupts import interrupted_by
from dagy_queue.operate.following import words
from dagy_queue.operate.following.pace import Pace
from dagy_queue.operate.following.sight import Sight
from dagy_queue.operate.output import note, say_json_line
from dagy_queue.operate.text import clock, visible

LINE_SECONDS = 5.0
"""How often a pipe gets a line of progress."""
_BAR_WIDTH = 40
_TERMINATED = 128 + signal.SIGTERM


class LookReport(TypedDict):
    """One look of ``watch``, ready for JSON."""

    total: int | None
    """Runs; None while a manifest is counted."""
    done: int
    """Runs that ended."""
    counts: Mapping[str, int]
    """Runs by phase."""
    launches_per_second: float | None
    """Over the last seconds; None while that cannot be told."""
    limit_per_second: float | None
    """What all dispatchers together keep to now; None is no limit."""
    seconds_left: float | None
    """If runs go on to end as in the last seconds; None while that cannot be told."""
    failures: Sequence[Mapping[str, str]]
    """Runs that failed since the last look, each as ``what``, ``run_id`` and ``summary``."""
    more_failures: int
    """How many others did, which are not told one by one."""
    is_over: bool


class Screen(AbstractContextManager["Screen"], Protocol):
    """Where looks are shown while the block lasts."""

    def show(self, sight: Sight, pace: Pace) -> None:
        """Show a look."""

    def say(self, text: str) -> None:
        """Print a line that stays."""


class Lines:
    """For pipes and files."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to undo."""

    def show(self, sight: Sight, pace: Pace) -> None:
        """Print failures, and every few seconds how far it is, if that has changed; always so at the end."""
        for line in words.failures(sight):
            self.say(line)
        line = words.progress(sight, pace)
        if line != self._last and (sight.is_over or time.monotonic() >= self._next):
            self.say(line)
            self._last, self._next = line, time.monotonic() + LINE_SECONDS

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(visible(text), markup=False)


class JsonLines:
    """For programs: a line of JSON for each look that shows something new."""

    def __init__(self) -> None:
        self._last: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to undo."""

    def show(self, sight: Sight, pace: Pace) -> None:
        """Print a look, unless its counts are those of the last."""
        counts = {phase.value: count for phase, count in sight.counts.items()}
        if counts == self._last and not sight.is_over:
            return
        self._last = counts
        look = LookReport(
            total=sight.total if sight.is_counted else None,
            done=sight.done,
            counts=counts,
            launches_per_second=pace.launches,
            limit_per_second=sight.limit,
            seconds_left=pace.seconds_left,
            failures=[asdict(failure) for failure in sight.failures],
            more_failures=sight.more_failures,
            is_over=sight.is_over,
        )
        say_json_line(look)

    def say(self, text: str) -> None:
        """Tell a person."""
        note(text)


class LiveScreen:
    """For terminals: a bar that is drawn anew with every look; at the end a line is left of it."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._began = time.monotonic()
        self._last = ""
        self._live = Live(console=console, transient=True, auto_refresh=False)
        # SIGTERM unwinds the block, so that the terminal has its cursor back.
        self._signals = interrupted_by((signal.SIGTERM,), lambda: SystemExit(_TERMINATED))

    def __enter__(self) -> Self:
        self._signals.__enter__()
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)
        if self._last:
            self.say(self._last)
        self._signals.__exit__(kind, error, trace)

    def show(self, sight: Sight, pace: Pace) -> None:
        """Print failures above the bar, and draw it."""
        for line in words.failures(sight):
            self._console.print(Text(visible(line), style="red"))
        self._live.update(self._drawn(sight, pace), refresh=True)
        self._last = words.progress(sight, pace)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(visible(text), markup=False)

    def _drawn(self, sight: Sight, pace: Pace) -> Any:
        head = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=sight.total or None, completed=sight.done, width=_BAR_WIDTH)
        head.add_row(bar, words.how_far(sight), clock(time.monotonic() - self._began), words.left(pace))
        lines: list[Any] = [
            _wrapped(self._title, "bold"),
            head,
            _wrapped(words.phases(sight)),
            _wrapped(words.launching(sight, pace)),
        ]
        return Group(*lines)


def _wrapped(text: str, style: str = "") -> Text:
    """Return a text that goes on in the next line of a narrow terminal."""
    return Text(text, style=style, no_wrap=False, overflow="fold")


def screen_for(console: Console | None, title: str) -> Screen:
    """Return the screen that suits a console; without one, lines of JSON."""
    if console is None:
        return JsonLines()
    return LiveScreen(console, title) if console.is_terminal else Lines(console)
