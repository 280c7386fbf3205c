"""What a flow writes in Python, as log lines with the task that wrote it: prints, ``logging``, warnings, dead threads.

The flow's process does its work inside :func:`captured`.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dagy.context import current_task
from dagy_worker.lines import LineSplitter
from dagy_worker.logs import JsonLog

LOG_EVENT = "log"
"""The event_type of records of ``logging``, and of warnings."""
PRINT_EVENT = "print"
"""The event_type of lines written to ``sys.stdout`` and ``sys.stderr``."""
_CHATTY = ("boto3", "botocore", "s3transfer", "urllib3")
"""Libraries that log at INFO what only their own developers want to know."""
_MOST_UNFINISHED = 256


@contextmanager
def captured(log: JsonLog, level: str = "INFO") -> Iterator[Callable[[], None]]:
    """Until the end of the block, send what Python writes to the log; ``level`` is that of ``logging``'s root.

    Yields a function that sends the lines that nobody has finished: as they are when a run ends, they are that run's.
    """
    out, err = LineWriter(log, "INFO", "stdout", 1), LineWriter(log, "WARNING", "stderr", 2)
    root, handler = logging.getLogger(), _Handler(log)
    before = (sys.stdout, sys.stderr, threading.excepthook, root.handlers[:], root.level)
    sys.stdout, sys.stderr, threading.excepthook, root.handlers[:] = out, err, _ThreadHook(log), [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)

    def finish_lines() -> None:
        out.finish()
        err.finish()

    try:
        yield finish_lines
    finally:
        finish_lines()
        logging.captureWarnings(False)
        sys.stdout, sys.stderr, threading.excepthook, root.handlers[:], level_before = before
        root.setLevel(level_before)


class LineWriter(io.TextIOBase):
    """A text stream whose lines become log lines. Unfinished lines are kept apart by thread and task."""

    mode = "w"
    errors = "backslashreplace"
    line_buffering = True

    def __init__(self, log: JsonLog, level: str, stream: str, descriptor: int) -> None:
        self.name = f"<{stream}>"
        self.buffer = _Bytes(self)
        self._log = log
        self._level = level
        self._stream = stream
        self._descriptor = descriptor
        self._unfinished: dict[tuple[int, str], LineSplitter] = {}
        self._process = os.getpid()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Text is not encoded here; this is for those who ask."""
        return "utf-8"

    def reconfigure(self, **_: Any) -> None:
        """Do nothing: programs ask for line buffering or an encoding, and both are what they are."""

    def close(self) -> None:
        """Do nothing: what else a flow has to say is still wanted."""

    def writable(self) -> bool:
        """Whether it is."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the real stream, for child processes; see ``raw_output.py``."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Take text from a thread and task."""
        task = current_task()
        place = self._place(task)
        lines = place.feed(text)
        for some in lines:
            self._emit(some, task)
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Take bytes from a thread and task; characters may be cut between two calls."""
        task = current_task()
        for some in self._place(task).feed_bytes(data):
            self._emit(some, task)

    def finish(self) -> None:
        """Emit the lines that nobody has finished yet: threads may be writing on."""
        for place in list(self._unfinished):
            self._end(place)

    def _place(self, task: str) -> LineSplitter:
        if self._process != os.getpid():  # a forked process does not repeat what its parent has begun
            self._process, self._unfinished = os.getpid(), {}
        place = (threading.get_ident(), task)
        if place not in self._unfinished:
            if len(self._unfinished) >= _MOST_UNFINISHED:
                self._end(next(iter(self._unfinished)))
            self._unfinished[place] = LineSplitter(self._log.redact)
        return self._unfinished[place]

    def _end(self, place: tuple[int, str]) -> None:
        line = self._unfinished.pop(place, None)
        if line is not None and (rest := line.end()):
            self._emit(rest, place[1])

    def _emit(self, lines: list[str], task: str) -> None:
        self._log.emit_lines(self._level, lines, PRINT_EVENT, task=task, stream=self._stream)


class _Bytes(io.RawIOBase):
    def __init__(self, text: LineWriter) -> None:
        self._text = text

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._text.fileno()

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._text.write_bytes(content)
        return len(content)


class _Handler(logging.Handler):
    def __init__(self, log: JsonLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            more = {"logger": record.name}
            if record.exc_info and record.exc_info[1] is not None:
                more["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
            self._log.emit(record.levelname, record.getMessage(), LOG_EVENT, **more)
        except Exception:  # noqa: BLE001 - a record that cannot be formatted must not fail the task
            self.handleError(record)


class _ThreadHook:
    """Tells of a thread that ended with an error in one line, where Python would print many."""

    def __init__(self, log: JsonLog) -> None:
        self._log = log

    def __call__(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or issubclass(args.exc_type, SystemExit):
            return
        name = args.thread.name if args.thread is not None else "a thread"
        text = "".join(traceback.format_exception(args.exc_value))
        self._log.emit("ERROR", f"{name} ended with {args.exc_type.__name__}", "thread_failed", traceback=text)
