"""The flow's process as the supervisor has it: forked with pipes for what it writes, watched to its end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from dagy_worker.logs import JsonLog
from dagy_worker.notes import Note, Notes
from dagy_worker.raw_output import RawOutput
from dagy_worker.stop_request import SIGNALS, StopRequest


class Child:
    """One process, from its fork to its end. Nothing of it may be used twice."""

    def __init__(self, log: JsonLog, stop: StopRequest) -> None:
        self._stop = stop
        self._notes = Notes()
        self._outputs = (RawOutput(log, "stdout", "INFO"), RawOutput(log, "stderr", "WARNING"))
        self._wake_read, self._wake_write = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._pid = 0

    def start(self, become: Callable[[Notes], NoReturn]) -> None:
        """Fork; the new process calls ``become`` with its end of the notes."""
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._pid = os.fork()
        if self._pid == 0:
            self._become(become)
        self._stop.pid = self._pid
        if self._stop.was_made:
            self.signal(signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for writer in (self._notes.writer, *(output.writer for output in self._outputs)):
            os.close(writer)

    def watch(self, take: Callable[[Note], None], check: Callable[[], float | None]) -> int:
        """Wait for the process's end and return its status, as ``os.waitpid`` tells it.

        ``take`` is given each note; ``check`` is called again and again, at the latest when the time comes that it
        returned (of ``time.monotonic()``).
        """
        self._listen(take)
        status = None
        while status is None:
            until = check()
            for key, _ in self._selector.select(None if until is None else max(0.0, until - time.monotonic())):
                key.data()
            status = self._ended()
        self._stop.pid = 0
        for note in self._notes.read_all():
            take(note)
        self._close()
        return status

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)

    def attribute(self, task: str) -> None:
        """Take what comes through the descriptors for the output of a task, "" for none."""
        for output in self._outputs:
            output.task = task

    def _become(self, become: Callable[[Notes], NoReturn]) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        readers = (self._notes.reader, *(output.reader for output in self._outputs))
        for descriptor in (self._wake_read, self._wake_write, *readers):
            os.close(descriptor)
        for output, descriptor in zip(self._outputs, (1, 2), strict=True):
            os.dup2(output.writer, descriptor)
            os.close(output.writer)
        become(self._notes)

    def _listen(self, take: Callable[[Note], None]) -> None:
        def notes() -> None:
            for note in self._notes.read():
                take(note)
            if self._notes.is_closed:
                self._selector.unregister(self._notes.reader)

        def output(of: RawOutput) -> None:
            of.read()
            if of.is_closed:
                self._selector.unregister(of.reader)

        self._selector.register(self._notes.reader, selectors.EVENT_READ, notes)
        for each in self._outputs:
            self._selector.register(each.reader, selectors.EVENT_READ, lambda of=each: output(of))
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drain)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _ended(self) -> int | None:
        """Return the process's status if it has ended. As a container's first process, bury all others as well."""
        wanted = -1 if os.getpid() == 1 else self._pid
        ended = None
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(wanted, os.WNOHANG)
                if pid == self._pid:
                    ended = status
                if pid in (0, self._pid):
                    break
        return ended

    def _close(self) -> None:
        for output in self._outputs:
            output.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for descriptor in (self._notes.reader, self._wake_read, self._wake_write):
            os.close(descriptor)
