"""Following one run: a line for each step of its way, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Self

from rich.console import Console
from rich.markup import escape

from dagy_queue.ledger import Phase
from dagy_queue.operate.finding import Desk
from dagy_queue.operate.following.sight import STALLED, Stall
from dagy_queue.operate.output import note, say_json_line
from dagy_queue.operate.text import aligned, clock, took, visible
from dagy_queue.outcome_text import outcome_rows
from dagy_queue.producer.explanation import Explanation

_LOOK_SECONDS, _DIRECT_SECONDS = 0.3, 2.0
_FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")


def follow_run(desk: Desk, run_id: str, console: Console | None, deadline: float | None) -> Explanation | None:
    """Show a run's way to its end, and return how it is then; None once ``deadline`` (monotonic) has passed.

    Without a console, each step is a line of JSON.

    Raises RunNotFound, RedisUnavailable, AwsError.
    """
    pause = _DIRECT_SECONDS if desk.is_direct else _LOOK_SECONDS
    began, stall = time.monotonic(), Stall(time.monotonic())
    step: tuple[Any, ...] = ()
    with _Steps(console) as steps:
        while True:
            found, now = desk.explanation(run_id), time.monotonic()
            if (found["attempt"], found["phase"]) != step:
                step = (found["attempt"], found["phase"])
                steps.show(found)
            if found["status"] in _FINAL:
                return found
            if stall.is_told(found["phase"] == "QUEUED", now):
                steps.say(STALLED)
            steps.wait(f"{found['phase']} for {clock(now - began)}: {found['next']}")
            if deadline is not None and now + pause > deadline:
                return None
            time.sleep(pause)


class _Steps:
    """Shows the steps, on a terminal with what is waited for below them."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._status = console.status("looking") if console and console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._status:
            self._status.__exit__(kind, error, trace)

    def show(self, found: Explanation) -> None:
        """Show a step, and after the last one how the run ended."""
        if self._console is None:
            say_json_line(found)
            return
        lines = [_line(found), *(ending(found) if found["status"] in _FINAL else ())]
        for line in lines:
            self.say(line)

    def say(self, text: str) -> None:
        """Print a line."""
        if self._console is None:
            note(text)
        else:
            self._console.print(visible(text), markup=False)

    def wait(self, text: str) -> None:
        """Say what is waited for."""
        if self._status:
            self._status.update(escape(visible(text)))


def ending(found: Explanation) -> Iterator[str]:
    """Yield how a run ended, if not well."""
    if found["status"] != "SUCCEEDED":
        yield from aligned([("what happened", found["summary"]), *outcome_rows(found)])


def _line(found: Explanation) -> str:
    names_itself = found["attempt"] == 1 or found["phase"] == Phase.RETRYING
    attempt = "" if names_itself else f"attempt {found['attempt']}"
    what = _took(found) if found["status"] in _FINAL else found["next"]
    return f"{datetime.now().astimezone():%H:%M:%S}  {found['phase']:<12}  {', '.join(filter(None, [attempt, what]))}"


def _took(found: Explanation) -> str:
    if not (found["created_at"] and found["ended_at"]):
        return ""
    seconds = datetime.fromisoformat(found["ended_at"]) - datetime.fromisoformat(found["created_at"])
    return f"after {took(seconds.total_seconds())}"
