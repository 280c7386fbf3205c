"""A command's screen as a picture: it runs in a terminal of its own, and what is on that is drawn as an SVG."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

_COLORS = {"brown": "yellow"}
"""Colours that pyte and rich call differently."""


def record(
    command: Sequence[str], environment: Mapping[str, str], *, size: tuple[int, int], until: Callable[[str], bool]
) -> list[Text]:
    """Run a command in a terminal of so many columns and lines until its screen is as wanted; return that screen.

    The command is ended. Raises TimeoutError if the screen is never like that.
    """
    columns, lines = size
    screen = pyte.Screen(columns, lines)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    child = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm-256color"}
    )
    try:
        _feed(stream, ours, lambda: until("\n".join(screen.display)))
        return _drawn(screen)
    finally:
        child.kill()
        child.wait()
        os.close(theirs)
        os.close(ours)


def svg(lines: Sequence[Text], title: str) -> str:
    """Return lines of a terminal as an SVG."""
    console = Console(record=True, file=io.StringIO(), width=max(map(len, lines)), force_terminal=True)
    for line in [*lines, Text("")]:  # below the last line the picture would end too early
        console.print(line)
    return console.export_svg(title=title, unique_id="dagy")


def _feed(stream: pyte.ByteStream, source: int, is_done: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([source], [], [], 0.2)[0]:
            stream.feed(os.read(source, 65536))
        if is_done():
            return
    raise TimeoutError(f"the screen was not as it should be within {seconds:g} seconds")


def _drawn(screen: pyte.Screen) -> list[Text]:
    """Return the lines of a screen with their colours, without the empty ones at its end."""
    found = []
    for row in range(screen.lines):
        characters = [screen.buffer[row][column] for column in range(screen.columns)]
        line = Text(end="", no_wrap=True)
        for style, alike in groupby(characters, _style):
            line.append("".join(character.data for character in alike), style)
        found.append(line)
    while found and not found[-1].plain.strip():
        found.pop()
    return found


def _style(character: pyte.screens.Char) -> Style:
    names = [_color(character.fg), _color(character.bg)]
    return Style(color=names[0], bgcolor=names[1], bold=character.bold or None, reverse=character.reverse or None)


def _color(name: str) -> str | None:
    if name == "default":
        return None
    if len(name) == 6 and all(letter in "0123456789abcdef" for letter in name):
        return f"#{name}"
    return _COLORS.get(name, name.replace("bright", "bright_"))
