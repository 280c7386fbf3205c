"""Following what a command names until it has ended: what ``watch``, ``--wait`` and ``--watch`` do.

Ctrl-C ends the looking and nothing else. The exit code is that of what was followed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer
from rich.console import Console

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.operate.exit_codes import ExitCode
from dagy_queue.operate.finding import Desk, Target
from dagy_queue.operate.following.one_run import follow_run
from dagy_queue.operate.following.pace import Pace
from dagy_queue.operate.following.screens import Screen, screen_for
from dagy_queue.operate.following.sight import STALLED, Stall
from dagy_queue.operate.following.sources import BatchSource, EverythingSource, Source
from dagy_queue.operate.output import note
from dagy_queue.producer.explanation import Explanation
from dagy_queue.requests.durations import RULE, parse_duration

LOOK_SECONDS = 0.5
_SUCCEEDED = "SUCCEEDED"
_LARGEST_CODE = 255


def follow(desk: Desk, target: Target, shown: Console | None, *, wait_timeout: str = "") -> int:
    """Follow a run or a batch to its end, and return what it exits with; without a console, in lines of JSON.

    A run exits with its container's exit code, or with 1 if it failed without one or was cancelled; a batch with 0 or
    1. Raises typer's Exit if the waiting ends before.
    """
    deadline = time.monotonic() + seconds(wait_timeout) if wait_timeout else None
    kind = "batch" if target.is_batch else "run"
    with _interruptible(kind, target.id):
        if target.is_batch:
            source = BatchSource(desk.overview, desk.settings, target.id)
            is_over = _look(source, deadline, screen_for(shown, source.title))
            code = int(source.brief.status.value != _SUCCEEDED)
            if source.brief.refused:
                note(f"batch {target.id} cannot be run: {source.brief.refused}")
            elif is_over and code and source.brief.cancel_reason:
                note(f"batch {target.id} was cancelled: {source.brief.cancel_reason}")
        else:
            found = follow_run(desk, target.id, shown, deadline)
            is_over, code = found is not None, 0 if found is None else exit_code_of_run(found)
    if not is_over:
        unit = " seconds" if wait_timeout[-1:].isdigit() else ""
        note(f"{kind} {target.id} did not end within {wait_timeout}{unit} and goes on; {_back(target.id)}")
        raise typer.Exit(ExitCode.TIMED_OUT)
    return code


def follow_everything(desk: Desk, shown: Console | None, *, org: str = "", once: bool = False) -> None:
    """Show everything (of an org) that goes on until Ctrl-C, or once; without a console, in lines of JSON."""
    source = EverythingSource(desk.overview, desk.settings, org)
    with _interruptible("", ""):
        _look(source, None, screen_for(shown, source.title), once=once)


def exit_code_of_run(found: Explanation) -> int:
    """Return what a command exits with that passes a run's own exit code on; those of Windows may be too large."""
    if found["status"] == _SUCCEEDED:
        return ExitCode.OK
    code = found["exit_code"] or ExitCode.ERROR
    return code if 0 < code <= _LARGEST_CODE else ExitCode.ERROR


def _look(source: Source, deadline: float | None, shown_on: Screen, *, once: bool = False) -> bool:
    """Show looks until it is over; False if the deadline passed before."""
    pace, stall = Pace(), Stall(time.monotonic())
    with shown_on as screen:
        while True:
            sight, now = source.look(), time.monotonic()
            pace.note(sight, now)
            screen.show(sight, pace)
            if sight.is_over or once:
                break
            if stall.is_told(bool(sight.total) and sight.is_untouched, now):
                screen.say(STALLED)
            if deadline is not None and now + LOOK_SECONDS > deadline:
                return False
            time.sleep(LOOK_SECONDS)
    return True


@contextmanager
def _interruptible(kind: str, identifier: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if identifier:
            note(f"\nno longer watching; {kind} {identifier} goes on: {_back(identifier)}")
        else:
            note("\nno longer watching; everything goes on: `dagy-queue watch` shows it again")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _back(identifier: str) -> str:
    return f"`dagy-queue watch {identifier}` follows it again, `dagy-queue cancel {identifier}` ends it"


def seconds(text: str) -> float:
    """Return how long is waited at most. Raises RequestInvalid."""
    with suppress(ValueError):
        return parse_duration(text)
    with suppress(ValueError):
        if 0 <= (found := float(text)) < math.inf:
            return found
    raise RequestInvalid([Problem("wait-timeout", text, RULE)], "command")
