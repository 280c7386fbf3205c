"""How commands say things: results to stdout, everything else to stderr, JSON in one form; rich only on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from dagy_queue.operate.exit_codes import ExitCode
from dagy_queue.operate.text import json_text, visible

if TYPE_CHECKING:
    from rich.console import Console

PROGRAM = "dagy-queue"


def say(text: str = "") -> None:
    """Print a line of the result."""
    typer.echo(visible(text))


def say_as_it_is(text: str) -> None:
    """Print a line of the result that is asked for with whatever is in it."""
    typer.echo(text)


def say_lines(lines: Iterable[str]) -> None:
    """Print lines of the result."""
    for line in lines:
        say(line)


def say_json(value: Any) -> None:
    """Print a value as one JSON document."""
    typer.echo(json_text(value, indent=2))


def say_json_line(value: Mapping[str, Any]) -> None:
    """Print a value as one line of JSON, for those who read while more comes."""
    typer.echo(json_text(value))


def note(text: str) -> None:
    """Tell the person at the terminal something that is no result."""
    typer.echo(visible(text), err=True)


def complain(error: object) -> None:
    """Say what is wrong."""
    note(f"{PROGRAM}: {error}")


def fail(error: object, code: ExitCode = ExitCode.ERROR) -> NoReturn:
    """Say what is wrong and end the command."""
    complain(error)
    raise typer.Exit(code)


def is_for_people() -> bool:
    """Tell whether stdout is a terminal: a pipe gets what programs read."""
    return sys.stdout.isatty()


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Return a console. It has no colour in a pipe, or where NO_COLOR is set, as https://no-color.org has it.

    In a pipe nothing moves either, also where FORCE_COLOR is set, as it is in many a CI.
    """
    from rich.console import Console

    no_color = bool(os.environ.get("NO_COLOR")) or None
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        stderr=stderr,
        quiet=quiet,
        highlight=False,
        soft_wrap=True,
        no_color=no_color,
        force_terminal=None if is_terminal else False,
    )
