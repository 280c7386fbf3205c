"""The container's first process: forks the flow's, writes what that cannot, and sees to it that every run has an end.

The flow's process may exit, crash, run out of memory, hang, or not hear SIGTERM; each run is reported all the same, in
time before ECS kills the container. A run whose process died is over; those after it get a process of their own.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from dagy.contract import RunSpec
from dagy_worker.child import Child
from dagy_worker.deaths import Death, error_of, oom_kills
from dagy_worker.flow_process import FlowProcess
from dagy_worker.logs import JsonLog
from dagy_worker.notes import Note, Notes
from dagy_worker.recorder import Recorder
from dagy_worker.standings import Standings
from dagy_worker.stop_request import StopRequest
from dagy_worker.storage import Storage

LINGER_SECONDS = 10.0
"""How long the flow's process may go on once all its runs are over, for threads and ``atexit``."""
_ABORT_SECONDS = 1.0
"""How long it may take to write where it is, before it is killed."""


class Supervisor:
    """One container's runs, from the first fork to the exit code."""

    def __init__(
        self, members: list[RunSpec], environ: Mapping[str, str], log: JsonLog, stop: StopRequest, directory: Path
    ) -> None:
        self._members = members
        self._environ = environ
        self._log = log
        self._stop = stop
        self._directory = directory
        self._recorder = Recorder(members, environ, log)
        self._standings = Standings(members, log, self._recorder)

    def run(self) -> int:
        """Bring every run to its end and return the container's exit code."""
        number = 0
        while not self._standings.are_over:
            number += 1
            self._recorder.pause()  # nothing but this thread may be there when a process is forked
            watch = _Watch(self._standings, self._stop, self._log)
            death = self._life_of_a_process(watch, self._directory / f"process-{number}")
            self._end_open_runs(death, watch)
        self._recorder.pause(self._stop.all_until)
        return self._standings.exit_code

    def _life_of_a_process(self, watch: _Watch, directory: Path) -> Death:
        directory.mkdir()
        faults, first, kills = directory / "faults.txt", self._standings.first_open, oom_kills()

        def become(notes: Notes) -> NoReturn:
            FlowProcess(self._members, first, self._environ, self._log, notes).run(directory, faults)

        status = watch.over(become)
        return Death(
            status=status,
            was_stopped=self._stop.was_made,
            killed_after=watch.killed_after,
            out_of_memory=oom_kills() > kills,
            faults=faults.read_text(errors="replace") if faults.exists() else "",
        )

    def _end_open_runs(self, death: Death, watch: _Watch) -> None:
        """End the run that was under way; and all others if they cannot be tried in another process."""
        if self._standings.are_over:
            if death.status != 0 and not watch.was_cut_off:
                message = f"after its runs were over, {error_of(death).message}"
                self._log.emit("WARNING", message, "process_died", task="", traceback=death.faults)
            return
        storage = Storage(self._environ, self._stop.all_until)
        only_this = self._standings.is_under_way and not self._stop.was_made
        self._standings.end_first(death, storage)
        while not only_this and not self._standings.are_over:
            self._standings.end_first(death, storage)


class _Watch:
    """One process being watched: its notes are taken, and it is killed when its time is over."""

    def __init__(self, standings: Standings, stop: StopRequest, log: JsonLog) -> None:
        self.killed_after: float | None = None
        """Seconds after SIGTERM after which it was killed; None if it was not."""
        self.was_cut_off = False
        """Whether it was killed because it went on after its runs were over."""
        self._standings = standings
        self._stop = stop
        self._log = log
        self._child = Child(log, stop)
        self._over_at: float | None = None
        self._kill_at: float | None = None

    def over(self, become: Callable[[Notes], NoReturn]) -> int:
        """Start the process and return its status once it has ended."""
        self._child.start(become)
        return self._child.watch(self._take, self._check)

    def _take(self, note: Note) -> None:
        self._standings.take(note)
        self._child.attribute(self._standings.task)
        if self._standings.are_over and self._over_at is None:
            self._over_at = time.monotonic()

    def _check(self) -> float | None:
        """Do what is due; return when something will be."""
        due, act = self._next_act()
        if due is not None and time.monotonic() >= due:
            act()
            due, _ = self._next_act()
        return due

    def _next_act(self) -> tuple[float | None, Callable[[], None]]:
        if self._kill_at is not None:
            return self._kill_at, self._kill
        if self._over_at is not None:
            return min(self._over_at + LINGER_SECONDS, self._stop.all_until or float("inf")), self._cut_off
        return self._stop.flow_until, self._abort

    def _abort(self) -> None:
        """Have ``faulthandler`` write where the flow hangs, which ends the process."""
        self.killed_after = self._stop.grace
        self._child.signal(signal.SIGABRT)
        self._kill_at = time.monotonic() + _ABORT_SECONDS

    def _cut_off(self) -> None:
        message = "the flow's process goes on after its runs are over (a thread that is no daemon?), and is killed"
        self._log.emit("WARNING", message, "process_killed", task="")
        self.was_cut_off = True
        self._kill()

    def _kill(self) -> None:
        self._child.signal(signal.SIGKILL)
        self._kill_at = time.monotonic() + _ABORT_SECONDS
