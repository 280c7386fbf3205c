"""Everything the container says, as JSON lines on its stdout, each with the run it belongs to.

Two processes write them, the supervisor and the flow's (``supervisor.py``), from any thread, and so may processes that
a flow forks. A line is written whole: under a lock of the process, and one on a file between processes.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock, get_ident, main_thread
from typing import Any, NamedTuple

from dagy.context import current_task
from dagy_worker.redaction import Redactor

MAX_LINE_BYTES = 256 * 1024 - 26
"""What the awslogs driver puts into one event; 26 bytes of each are CloudWatch Logs' own. Longer lines it would cut."""
MAX_MESSAGE = 32_000
"""Characters of a message in one line; fewer if it takes more than _MAX_MESSAGE_BYTES of JSON."""
_MAX_MESSAGE_BYTES = 128 * 1024
_MAX_TRACEBACK = 20_000
_MAX_FIELD = 1_000

_text = json.JSONEncoder(ensure_ascii=False).encode
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


class Identity(NamedTuple):
    """The run that lines belong to, as far as it is known."""

    run_id: str = ""
    attempt: int = 1
    correlation_id: str = ""
    org_id: str = ""
    flow: str = ""


class JsonLog:
    """Writes one JSON object per line to a descriptor. ``redact`` is applied to every text that goes into one."""

    def __init__(self, descriptor: int, identity: Identity) -> None:
        self.redact = Redactor()
        self.identity = identity
        self._descriptor = descriptor
        self._lock = RLock()
        self._writers = 0
        """How many lines the main thread is writing: a signal may have it write one while it writes another."""
        self._interruption: Callable[[], None] | None = None
        self._shared = -1
        """The descriptor of the file that is locked between processes."""

    @property
    def identity(self) -> Identity:
        """The run that lines belong to from now on."""
        return self._identity

    @identity.setter
    def identity(self, identity: Identity) -> None:
        self._identity = identity
        self._run = _json(identity._asdict())[1:-1]

    def emit(self, level: str, message: str, event_type: str, *, task: str | None = None, **more: Any) -> None:
        """Write a line. ``task`` is the one that the caller is part of, unless given.

        A message that is too long for one line is written in several, numbered by ``part`` of ``parts``.
        """
        task = current_task() if task is None else task
        self.emit_lines(level, [self.redact(message)], event_type, task=task, **more)

    def emit_lines(self, level: str, messages: Iterable[str], event_type: str, *, task: str, **more: Any) -> None:
        """Write a line for each of several messages, which are redacted already."""
        head = f'{{"timestamp":"{now()}","level":{_text(level)},"event_type":{_text(event_type)},"message":'
        tail = f',{self._run},"task":{_text(task[:_MAX_FIELD])}{self._fields(more)}'
        lines = [f"{head}{text}{tail}{part}}}\n" for message in messages for text, part in _parts(message)]
        self._write(_bytes("".join(lines)))

    def share(self, lock_file: Path) -> None:
        """Take turns with other processes, by a lock on a file that is created."""
        self._shared = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)

    def interrupt(self, interruption: Callable[[], None]) -> None:
        """Call something that may raise, but not before the line is written that the main thread is writing.

        For a handler of signals, which may run anywhere in that.
        """
        if self._writers:
            self._interruption = interruption
        else:
            interruption()

    def after_fork(self) -> None:
        """Begin anew in a process that a flow forked: a thread that is not there may have held the lock."""
        self._lock = RLock()
        self._writers = 0
        self._interruption = None

    def _fields(self, more: dict[str, Any]) -> str:
        return "".join(f",{_text(name)}:{_json(self._bounded(name, value))}" for name, value in more.items())

    def _bounded(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        value = self.redact(value)
        return value[-_MAX_TRACEBACK:] if name == "traceback" else value[:_MAX_FIELD]

    def _write(self, lines: bytes) -> None:
        is_main = get_ident() == main_thread().ident
        self._writers += is_main
        try:
            with self._lock:
                self._write_all(lines)
        except OSError:
            pass  # the flow has closed the descriptor, or nobody reads it any more
        finally:
            self._writers -= is_main
        if is_main and self._interruption is not None and not self._writers:
            interruption, self._interruption = self._interruption, None
            interruption()

    def _write_all(self, lines: bytes) -> None:
        data, counts = memoryview(lines), list[int]()
        try:
            if self._shared >= 0:
                fcntl.lockf(self._shared, fcntl.LOCK_EX)
            while (written := sum(counts)) < len(lines):
                try:
                    # In one step: a thread that is interrupted comes to know what it has written.
                    counts.extend(map(os.write, (self._descriptor,), (data[written:],)))
                except BlockingIOError:
                    _wait_until_writable(self._descriptor)
        except BaseException:
            out = lines[: sum(counts)]
            if out and not out.endswith(b"\n"):
                os.write(self._descriptor, b"\n")  # what comes next begins a line of its own
            raise
        finally:
            if self._shared >= 0:
                fcntl.lockf(self._shared, fcntl.LOCK_UN)


def now() -> str:
    """Return the time as ISO 8601 in UTC with milliseconds."""
    return f"{datetime.now(UTC).isoformat(timespec='milliseconds')[:-6]}Z"


def _bytes(text: str) -> bytes:
    """Return text in UTF-8, and half of a surrogate pair as JSON escapes it."""
    return text.encode(errors="backslashreplace")


def _parts(message: str) -> list[tuple[str, str]]:
    """Return the JSON of a message, in parts that fit into a line, each with the fields that number it."""
    if len(message) <= MAX_MESSAGE:
        encoded = _text(message)
        if len(encoded) * 4 <= _MAX_MESSAGE_BYTES or len(_bytes(encoded)) <= _MAX_MESSAGE_BYTES:
            return [(encoded, "")]
    size = MAX_MESSAGE
    while any(len(_bytes(_text(part))) > _MAX_MESSAGE_BYTES for part in _cut(message, size)):
        size //= 2
    parts = _cut(message, size)
    return [(_text(part), f',"part":{n},"parts":{len(parts)}') for n, part in enumerate(parts, start=1)]


def _cut(message: str, size: int) -> list[str]:
    return [message[start : start + size] for start in range(0, len(message), size)]


def _wait_until_writable(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()
