"""What the supervisor knows of each run of the container, and the end of those that the flow's process left open."""

from __future__ import annotations

from time import monotonic

from dagy.contract import ContractError, ErrorReport, ExitCode, RunReport, RunSpec
from dagy_worker.deaths import Death, error_of, exit_code_of
from dagy_worker.ending import conclude, identity_of, whose
from dagy_worker.error_reports import one_line
from dagy_worker.errors import StorageError
from dagy_worker.logs import JsonLog, now
from dagy_worker.notes import Note, Over, Started, TaskChanged
from dagy_worker.recorder import Recorder
from dagy_worker.report import Outcome
from dagy_worker.storage import Storage

_RUNNING, _FAILED = "RUNNING", "FAILED"


class Standings:
    """The runs in their order. Every run gets one end."""

    def __init__(self, members: list[RunSpec], log: JsonLog, recorder: Recorder) -> None:
        self._members = members
        self._log = log
        self._recorder = recorder
        self._codes: dict[int, int] = {}
        self._tasks: dict[str, TaskChanged] = {}
        """Of the run that is under way."""
        self._started: dict[int, tuple[str, float]] = {}

    @property
    def first_open(self) -> int:
        """The place of the first run without an end; their number if all have one."""
        return next((place for place in range(len(self._members)) if place not in self._codes), len(self._members))

    @property
    def are_over(self) -> bool:
        """Whether every run has its end."""
        return self.first_open == len(self._members)

    @property
    def is_under_way(self) -> bool:
        """Whether the first run without an end has begun."""
        return self.first_open in self._started

    @property
    def exit_code(self) -> int:
        """The container's: the first that is not OK of all runs'."""
        return next((code for _, code in sorted(self._codes.items()) if code != ExitCode.OK), ExitCode.OK)

    @property
    def task(self) -> str:
        """The task that is under way, if there is just one; else ""."""
        running = [task.name for task in self._tasks.values() if task.state == _RUNNING]
        return running[0] if len(running) == 1 else ""

    def take(self, note: Note) -> None:
        """Take note of what the flow's process tells."""
        if note.place >= len(self._members) or note.place in self._codes:
            return
        if isinstance(note, Started):
            self._log.identity = identity_of(self._members[note.place])
            self._started[note.place] = (note.at, monotonic())
            self._tasks = {}
        elif isinstance(note, TaskChanged):
            self._tasks[note.name] = note
        else:
            self._codes[note.place] = note.exit_code
        self._recorder.tell(note)

    def end_first(self, death: Death, storage: Storage) -> None:
        """End the first open run: its process died. A report that it wrote before that counts."""
        place = self.first_open
        if report := self._report_left(place, storage):
            code = ExitCode.OK if report.error is None else ExitCode.FLOW_FAILED
            self.take(Over(place, code, one_line(report.error), report.finished_at or now()))
            return
        error = error_of(death, self.task)
        tasks = self._broken_off(place, error) if place in self._started else {}
        started_at, started = self._started.get(place, ("", 0.0))
        outcome = Outcome(exit_code=exit_code_of(death), error=error, tasks=tasks)
        outcome = conclude(whose(self._members[place], started_at, started), outcome, self._log, storage)
        self.take(Over(place, outcome.exit_code, one_line(outcome.error), now()))

    def _broken_off(self, place: int, error: ErrorReport) -> dict[str, str]:
        """Fail the tasks that were under way; return the states of all."""
        for task in [task for task in self._tasks.values() if task.state == _RUNNING]:
            self.take(task._replace(place=place, state=_FAILED, finished_at=now(), error=one_line(error)))
        return {name: task.state for name, task in self._tasks.items()}

    def _report_left(self, place: int, storage: Storage) -> RunReport | None:
        spec = self._members[place]
        if place not in self._started or not spec.result_uri:
            return None
        try:
            content = storage.find(spec.result_uri)
            report = None if content is None else RunReport.from_json(content.decode())
        except (StorageError, ContractError, UnicodeDecodeError):
            return None
        is_its_own = report is not None and (report.run_id, report.attempt) == (spec.run_id, spec.attempt)
        return report if is_its_own else None
