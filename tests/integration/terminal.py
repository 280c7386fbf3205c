"""A terminal in which a test runs a command as a person would: what is on its screen, and what keys do."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import pyte

from tests.integration.waiting import eventually

COLUMNS, LINES = 120, 40
CTRL_C = b"\x03"
_SECONDS = 90


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], cwd: str | None = None) -> None:
        self._screen = pyte.HistoryScreen(COLUMNS, LINES, history=1000)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._before = termios.tcgetattr(theirs)
        self.raw = b""
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm-256color"},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - Ctrl-C reaches who owns the terminal
        )
        self._theirs = theirs
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._theirs)
        self._reader.join(_SECONDS)
        os.close(self._ours)

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def text(self) -> str:
        """Return what is on the screen."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display).strip()

    def until(self, text: str) -> str:
        """Wait until a text is on the screen, and return all of it."""
        try:
            eventually(lambda: text in self.text(), "it is on the screen", _SECONDS)
        except AssertionError:
            raise AssertionError(f"{text!r} is not on the screen:\n{self.text()}") from None
        return self.text()

    def end(self) -> int:
        """Wait for the command's end, and return its exit code."""
        code = self.process.wait(_SECONDS)
        eventually(lambda: not self._is_readable(), "everything is read")
        return code

    @property
    def is_whole(self) -> bool:
        """Whether the terminal is as it was: its cursor shown, its settings those from before."""
        with self._lock:
            return not self._screen.cursor.hidden and termios.tcgetattr(self._theirs) == self._before

    def _is_readable(self) -> bool:
        return bool(select.select([self._ours], [], [], 0.05)[0])

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self.raw += data
                self._stream.feed(data)
