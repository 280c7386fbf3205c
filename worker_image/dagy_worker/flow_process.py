"""The process in which the flow runs: prepares it once, executes each run of the container, and reports each.

The supervisor forks it and hears of it by notes and by its end. What the flow does to its process (exiting, closing
descriptors, changing signal handlers, crashing) is between the two.
"""

from __future__ import annotations

import atexit
import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import NoReturn

from dagy.contract import Env, ExitCode, RunSpec
from dagy.environment import parameters_exported
from dagy.errors import Terminated
from dagy.flows import Flow
from dagy_worker.artifact import fetch_artifact, load_artifact
from dagy_worker.capture import captured
from dagy_worker.deaths import BROKEN
from dagy_worker.ending import Whose, conclude, identity_of, whose
from dagy_worker.error_reports import error_report, one_line, refusal_report
from dagy_worker.errors import WorkerError
from dagy_worker.logs import JsonLog, now
from dagy_worker.member import execute
from dagy_worker.notes import Notes, Over, Started
from dagy_worker.packages import install_packages
from dagy_worker.report import Outcome
from dagy_worker.storage import Storage
from dagy_worker.tasklog import TaskLog
from dagy_worker.termination import Termination


class FlowProcess:
    """The runs from ``first`` on, of those that the container works through."""

    def __init__(
        self, members: list[RunSpec], first: int, environ: Mapping[str, str], log: JsonLog, notes: Notes
    ) -> None:
        self._members = members
        self._first = first
        self._environ = environ
        self._log = log
        self._notes = notes
        self._storage = Storage(environ)
        self._modules = dict(sys.modules)
        """What the worker has imported: a flow may take some of it away."""
        self._pid = os.getpid()
        self._over = first
        """The place of the first run that has not ended."""
        self._finish_lines: Callable[[], None] = lambda: None

    def run(self, directory: Path, faults: Path) -> NoReturn:
        """Do everything, and end the process. ``directory`` is this process's own."""
        code = BROKEN
        try:
            termination = Termination(self._log)
            with (
                faults.open("wb", buffering=0) as dump,
                termination.installed(),
                captured(self._log, self._level()) as self._finish_lines,
            ):
                faulthandler.enable(dump)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
                os.register_at_fork(after_in_child=self._log.after_fork)
                self._perform(directory, termination)
                self._shut_down()
            code = ExitCode.OK
        except BaseException:  # noqa: BLE001 - whatever it is, this process ends here and not in its parent's code
            self._log.emit("ERROR", "the worker failed", "worker_failed", traceback=traceback.format_exc())
        finally:
            os._exit(code)

    def _level(self) -> str:
        level = (self._environ.get(Env.LOG_LEVEL) or "INFO").upper()
        return level if level in logging.getLevelNamesMapping() else "INFO"

    def _perform(self, directory: Path, termination: Termination) -> None:
        """Bring every run to its end."""
        try:
            with termination.armed():
                flow = self._prepare(directory)
            while self._over < len(self._members):
                outcome, run = self._execute_next(flow, termination)
                self._conclude(outcome, run)
                if outcome.exit_code == ExitCode.TERMINATED:
                    self._refuse_rest(Outcome(exit_code=ExitCode.TERMINATED, error=outcome.error))
        except WorkerError as exc:
            self._refuse_rest(Outcome(exit_code=exc.exit_code, error=refusal_report(exc)))
        except Terminated as exc:
            self._refuse_rest(Outcome(exit_code=ExitCode.TERMINATED, error=error_report(exc)))
        except BaseException as exc:  # noqa: BLE001 - the flow's own code, before its first task
            self._end_if_forked()
            self._refuse_rest(Outcome(exit_code=ExitCode.FLOW_FAILED, error=error_report(exc)))

    def _prepare(self, directory: Path) -> Flow:
        """Install the packages and load the flow: once for all runs."""
        spec = self._members[self._first]
        self._log.identity = identity_of(spec)
        install_packages(spec, self._storage, self._environ, self._log, directory.parent)
        with parameters_exported(spec.parameters):
            flow = load_artifact(fetch_artifact(spec, self._storage, directory))
        self._end_if_forked()
        return flow

    def _execute_next(self, flow: Flow, termination: Termination) -> tuple[Outcome, Whose]:
        spec, place = self._members[self._over], self._over
        run = whose(spec, now(), monotonic())
        self._log.identity = run.identity
        self._notes.tell(Started(place, run.started_at))
        listener = TaskLog(self._log, place, self._notes.tell, self._end_if_forked)
        try:
            with termination.armed():
                outcome = execute(flow, spec, listener)
        except Terminated as exc:
            outcome = Outcome(exit_code=ExitCode.TERMINATED, error=error_report(exc))
        self._end_if_forked()
        return outcome, run

    def _conclude(self, outcome: Outcome, run: Whose) -> None:
        """Report the end of the first run that has not ended."""
        for name, module in self._modules.items():
            sys.modules.setdefault(name, module)
        self._finish_lines()
        outcome = conclude(run, outcome, self._log, self._storage)
        self._notes.tell(Over(self._over, outcome.exit_code, one_line(outcome.error), now()))
        self._over += 1

    def _refuse_rest(self, outcome: Outcome) -> None:
        """Report an end that concerns every run that has not ended."""
        while self._over < len(self._members):
            self._conclude(outcome, whose(self._members[self._over]))

    def _end_if_forked(self) -> None:
        """End a process that a task forked and that came back from it: the run is its parent's."""
        if os.getpid() != self._pid:
            message = "a process that the flow forked came back from its task and was ended: end it with os._exit()"
            self._log.emit("WARNING", message, "fork_ended")
            os._exit(ExitCode.OK)

    def _shut_down(self) -> None:
        """Do what an interpreter does at its end: wait for threads, call what ``atexit`` has, flush.

        The supervisor does not wait for ever: the runs are over.
        """
        threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing does in the processes it forks
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
