"""What the flow's process tells the supervisor, through a pipe: which run is under way, its tasks, and its end.

One JSON list a line: the name of the note and its fields.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

_MOST_TEXT = 1_000
_CHUNK = 1 << 16


class Started(NamedTuple):
    """A run of the container has begun; ``place`` is its place among them."""

    place: int
    at: str


class TaskChanged(NamedTuple):
    """Where a task stands. Times are ISO 8601 in UTC, "" if there is none yet."""

    place: int
    name: str
    state: str
    tries: int
    started_at: str
    finished_at: str
    seconds: float
    error: str


class Over(NamedTuple):
    """A run has ended and was reported. ``error`` is one line, "" if there is none."""

    place: int
    exit_code: int
    error: str
    at: str


Note = Started | TaskChanged | Over
_KINDS: dict[str, type[Note]] = {kind.__name__: kind for kind in (Started, TaskChanged, Over)}


class Notes:
    """Both ends of the pipe. Each process closes the one that it does not use."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.is_closed = False
        """Whether nobody can write any more."""
        self._rest = b""

    def tell(self, note: Note) -> None:
        """Write a note. If the flow has closed the pipe, the supervisor will do without."""
        values = [value[:_MOST_TEXT] if isinstance(value, str) else value for value in note]
        line = json.dumps([type(note).__name__, *values], separators=(",", ":")) + "\n"
        data = memoryview(line.encode())
        try:
            while data:
                data = data[os.write(self.writer, data) :]
        except OSError:
            return

    def read(self) -> list[Note]:
        """Return the notes that have come, without waiting."""
        try:
            data = os.read(self.reader, _CHUNK)
        except BlockingIOError:
            return []
        self.is_closed = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [note for line in lines if (note := _note(line)) is not None]

    def read_all(self) -> list[Note]:
        """Return all notes of a process that has ended."""
        notes: list[Note] = []
        while True:
            before = self._rest
            some = self.read()
            if not some and self._rest == before:
                return notes
            notes += some


def _note(line: bytes) -> Note | None:
    """Read a line; None for what a flow may have written into a descriptor that is not its own."""
    try:
        kind, *values = json.loads(line)
        note: Any = _KINDS[kind](*values)
    except (ValueError, TypeError, KeyError):
        return None
    return note  # type: ignore[no-any-return]
