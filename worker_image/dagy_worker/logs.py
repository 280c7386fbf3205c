"""Everything the container says, as JSON lines on stdout, each with the run it belongs to.

The worker's own events go through :meth:`JsonLog.emit`; prints and ``logging`` of the flow are captured and become
lines of the same form, with the task that wrote them.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from threading import RLock, get_ident
from typing import Any, TextIO

from dagy.context import current_task

LOG_EVENT = "log"
"""The event_type of lines that the flow wrote itself."""
_MAX_LINE = 64_000
_CHATTY = ("boto3", "botocore", "s3transfer", "urllib3")
"""Libraries that log at INFO what only their own developers want to know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """The run that lines belong to, as far as it is known."""

    run_id: str = ""
    attempt: int = 1
    correlation_id: str = ""
    org_id: str = ""
    flow: str = ""


class JsonLog:
    """Writes one JSON object per line, whole lines only, from any thread."""

    def __init__(self, stream: TextIO, identity: Identity) -> None:
        self.stream = stream
        self.identity = identity
        self._lock = RLock()

    def emit(self, level: str, message: str, event_type: str, *, task: str | None = None, **more: Any) -> None:
        """Write a line. ``task`` is the one that the caller is part of, unless given."""
        line = {
            "ts": now(),
            "level": level,
            "message": message,
            **asdict(self.identity),
            "task": current_task() if task is None else task,
            "event_type": event_type,
            **more,
        }
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str)
        with self._lock:
            self.stream.write(text + "\n")
            self.stream.flush()


@contextmanager
def captured(log: JsonLog) -> Iterator[None]:
    """Until the end of the block, send stdout, stderr and ``logging`` to the log."""
    out, err = LineWriter(log, "INFO", sys.stdout), LineWriter(log, "WARNING", sys.stderr)
    root, handler = logging.getLogger(), _Handler(log)
    before = (sys.stdout, sys.stderr, root.handlers[:], root.level)
    sys.stdout, sys.stderr, root.handlers[:] = out, err, [handler]
    root.setLevel(logging.INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        out.finish()
        err.finish()
        sys.stdout, sys.stderr, root.handlers[:], level = before
        root.setLevel(level)


class LineWriter(io.TextIOBase):
    """A text stream whose lines become log lines. Unfinished lines are kept apart by thread and task."""

    def __init__(self, log: JsonLog, level: str, original: TextIO) -> None:
        self._log = log
        self._level = level
        self._original = original
        self._unfinished: dict[tuple[int, str], str] = {}

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Text is not encoded here; this is for those who ask."""
        return "utf-8"

    @property
    def buffer(self) -> _Bytes:
        """The stream for those who write bytes."""
        return _Bytes(self)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """The real descriptor, for subprocesses; what they write is not captured."""
        return self._original.fileno()

    def write(self, text: str) -> int:
        task = current_task()
        place = (get_ident(), task)
        *lines, rest = (self._unfinished.pop(place, "") + text).split("\n")
        if len(rest) > _MAX_LINE:
            lines, rest = [*lines, rest], ""
        if rest:
            self._unfinished[place] = rest
        for line in lines:
            self._emit(line, task)
        return len(text)

    def finish(self) -> None:
        """Emit the lines that nobody finished."""
        while self._unfinished:
            (_, task), line = self._unfinished.popitem()
            self._emit(line, task)

    def _emit(self, line: str, task: str) -> None:
        line = line.rstrip("\r")
        for start in range(0, len(line), _MAX_LINE):
            self._log.emit(self._level, line[start : start + _MAX_LINE], LOG_EVENT, task=task)


class _Bytes(io.RawIOBase):
    def __init__(self, text: LineWriter) -> None:
        self._text = text

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._text.write(bytes(data).decode("utf-8", "backslashreplace"))
        return len(data)


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


def now() -> str:
    """Return the time as ISO 8601 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
