"""What reaches stdout and stderr past Python: from C code, and from processes that a flow starts.

The supervisor reads it from pipes and writes it as log lines, also of a process that has crashed.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from dagy_worker.lines import LineSplitter
from dagy_worker.logs import JsonLog

OUTPUT_EVENT = "output"
"""The event_type of these lines."""
_CHUNK = 1 << 16


class RawOutput:
    """The reading end of one stream. ``task`` is the one whose output it is taken for."""

    def __init__(self, log: JsonLog, stream: str, level: str) -> None:
        self.task = ""
        self.is_closed = False
        """Whether every process that had the other end has closed it."""
        self._log = log
        self._stream = stream
        self._level = level
        self._lines = LineSplitter(log.redact)
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def read(self) -> int:
        """Write what there is to the log, but not more than a chunk; return how many bytes there were."""
        try:
            data = os.read(self.reader, _CHUNK)
        except BlockingIOError:
            return 0
        self.is_closed = not data
        for lines in self._lines.feed_bytes(data):
            self._emit(lines)
        return len(data)

    def close(self) -> None:
        """Write what is left, without listening on to processes that a flow has left behind."""
        left = self._unread()
        while left > 0 and (count := self.read()):
            left -= count
        if rest := self._lines.end():
            self._emit(rest)
        os.close(self.reader)

    def _unread(self) -> int:
        """Return how many bytes are in the pipe now."""
        (count,) = struct.unpack("i", fcntl.ioctl(self.reader, termios.FIONREAD, b"\0" * struct.calcsize("i")))
        return int(count)

    def _emit(self, lines: list[str]) -> None:
        self._log.emit_lines(self._level, lines, OUTPUT_EVENT, task=self.task, stream=self._stream)
