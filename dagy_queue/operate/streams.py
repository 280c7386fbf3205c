"""stdin, stdout and stderr as the command line needs them: all three there, and a stdout that says what is wrong."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from dagy_queue.errors import DagyQueueError

_NOWHERE = Path(os.devnull)


class OutputUnwritable(DagyQueueError):
    """stdout takes nothing more: its disk is full, or broken."""


class Output(io.TextIOWrapper):
    """A stdout whose failures are errors of ours, so that they are told from those of other files.

    A pipe whose reader has gone stays Python's BrokenPipeError, which typer and rich know to be quiet about.
    """

    def write(self, text: str, /) -> int:
        """Write a text. Raises OutputUnwritable."""
        try:
            return super().write(text) if text != "" else 0  # typer tries none, and lets the failure pass
        except OSError as exc:
            self._fail(exc)
            raise

    def flush(self) -> None:
        """Write what is left. Raises OutputUnwritable."""
        try:
            super().flush()
        except OSError as exc:
            self._fail(exc)
            raise

    def _fail(self, error: OSError) -> None:
        if error.errno == errno.EPIPE:
            return
        lead_nowhere(self)
        raise OutputUnwritable(
            f"stdout cannot be written ({error.strerror}): make room or lead it elsewhere; what was done is done"
        ) from error


def prepare_streams() -> None:
    """Give a process that was started without stdin, stdout or stderr (``>&-``) empty ones, and have stdout be ours.

    Without them, the next connection or file would be in their place.
    """
    streams: Any = sys
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(streams, name, _NOWHERE.open(mode, encoding="utf-8"))
    out = sys.stdout
    if out is sys.__stdout__ and isinstance(out, io.TextIOWrapper):
        sys.stdout = Output(
            out.buffer,
            encoding=out.encoding,
            errors="backslashreplace",  # a terminal that is not in UTF-8 shows the rest
            line_buffering=out.line_buffering,
            write_through=out.write_through,
        )


def lead_nowhere(stream: TextIO) -> None:
    """Drop what a stream has left: Python writes that when it ends, and complains if it cannot."""
    if isinstance(stream, io.TextIOWrapper):
        with _NOWHERE.open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
