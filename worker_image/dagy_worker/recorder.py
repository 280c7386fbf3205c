"""The thread that brings the records in DynamoDB up to date while runs go on, beside the supervisor.

The run's start and end are written at once; heartbeats and tasks every ``heartbeat_seconds`` and at the end. A
DynamoDB that is away, slow or refuses is told in the log once, and the run goes on without it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from queue import Empty, SimpleQueue

from dagy.contract import RunSpec
from dagy_worker.logs import JsonLog
from dagy_worker.notes import Note
from dagy_worker.record_writer import RecordWriter

FAREWELL_SECONDS = 5.0
"""How long the end of a container waits for the last writes."""
_SHORTEST_BEAT = 1.0


class Recorder:
    """Writes what it is told about the runs of a container. Of runs without tables it writes nothing."""

    def __init__(self, members: list[RunSpec], environ: Mapping[str, str], log: JsonLog) -> None:
        first = members[0]
        self._is_wanted = bool(first.runs_table or first.task_runs_table)
        self._beat_seconds = max(_SHORTEST_BEAT, first.heartbeat_seconds)
        self._log = log
        self._writer = RecordWriter(members, environ)
        self._told: SimpleQueue[Note | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._next_beat = 0.0
        self._has_complained = False

    def tell(self, note: Note) -> None:
        """Take note of a change; the thread writes it."""
        if not self._is_wanted:
            return
        self._told.put(note)
        if self._thread is None:
            self._next_beat = time.monotonic() + self._beat_seconds
            self._thread = threading.Thread(target=self._run, name="dagy-records", daemon=True)
            self._thread.start()

    def pause(self, deadline: float | None = None) -> None:
        """Write what is left and end the thread, which :meth:`tell` starts again. Waits until ``deadline`` at most."""
        if self._thread is None:
            return
        until = time.monotonic() + FAREWELL_SECONDS
        until = until if deadline is None else min(until, deadline)
        self._writer.deadline = until
        self._told.put(None)
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self._is_wanted = False  # it has the writer still
            self._complain("DynamoDB did not answer in time, and the last changes may be missing")
        self._thread = None
        self._writer.deadline = None

    def _run(self) -> None:
        closing = False
        while not closing:
            notes, closing = self._next_notes()
            for note in notes:
                self._writer.take(note)
            is_due = time.monotonic() >= self._next_beat
            if problem := self._writer.write(beats=is_due, tasks=is_due or closing):
                self._complain(problem)
            if is_due:
                self._next_beat = time.monotonic() + self._beat_seconds
        self._writer.close()

    def _next_notes(self) -> tuple[list[Note], bool]:
        """Wait for something to do; return the notes that have come, and whether these are the last."""
        notes: list[Note] = []
        wait = max(0.0, self._next_beat - time.monotonic())
        try:
            while (note := self._told.get(timeout=wait)) is not None:
                notes.append(note)
                wait = 0.0
        except Empty:
            return notes, False
        return notes, True

    def _complain(self, problem: str) -> None:
        if not self._has_complained:
            self._has_complained = True
            message = f"the record is behind; the run goes on, and this is not told again: {problem}"
            self._log.emit("WARNING", message, "record_failed", task="")
