"""What is still to be written to the records, and writing it. The recorder's thread uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dagy.contract import RunSpec
from dagy_worker.aws import AwsError
from dagy_worker.dynamodb import BATCH_ITEMS, DynamoDb
from dagy_worker.logs import now
from dagy_worker.notes import Note, Over, Started, TaskChanged
from dagy_worker.records import run_beat, run_ended, run_started, task_item


class RecordWriter:
    """The changes of a container's runs. ``deadline`` is the ``time.monotonic()`` after which no call is made."""

    def __init__(self, members: list[RunSpec], environ: Mapping[str, str]) -> None:
        self.deadline: float | None = None
        self._members = members
        self._environ = environ
        self._client: DynamoDb | None = None
        self._runs: dict[int, Started | Over] = {}
        """By place, the last that is to be said of a run."""
        self._started: dict[int, str] = {}
        """When each run started that is under way or has an end to be written."""
        self._tasks: dict[tuple[int, str], TaskChanged] = {}

    def take(self, note: Note) -> None:
        """Add a change to what is to be written."""
        if isinstance(note, TaskChanged):
            self._tasks[note.place, note.name] = note
            return
        self._runs[note.place] = note
        if isinstance(note, Started):
            self._started[note.place] = note.at

    def write(self, *, beats: bool, tasks: bool) -> str:
        """Write starts and ends of runs, and what else is wanted.

        Return what went wrong, or ""; what could not be written is written the next time.
        """
        problems = [self._try(self._write_run, place) for place in list(self._runs)]
        if beats:
            problems += [self._try(self._beat, place) for place in list(self._started)]
        if tasks:
            problems.append(self._try(self._write_tasks))
        return next(filter(None, problems), "")

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _try(self, call: Callable[..., None], *args: int) -> str:
        try:
            call(*args)
        except (AwsError, ValueError) as exc:
            return str(exc)
        return ""

    def _write_run(self, place: int) -> None:
        spec, note = self._members[place], self._runs[place]
        if isinstance(note, Started):
            request = run_started(spec, note.at)
        else:
            request = run_ended(spec, self._started.get(place, note.at), note.at, note.error)
        if spec.runs_table:
            self._dynamodb().update(request)
        del self._runs[place]
        if isinstance(note, Over):
            self._started.pop(place, None)

    def _beat(self, place: int) -> None:
        if self._members[place].runs_table and place not in self._runs:
            self._dynamodb().update(run_beat(self._members[place], now()))

    def _write_tasks(self) -> None:
        table = self._members[0].task_runs_table
        waiting = list(self._tasks.items())
        for start in range(0, len(waiting), BATCH_ITEMS):
            batch = waiting[start : start + BATCH_ITEMS]
            if table:
                self._dynamodb().put_batch(table, [task_item(self._members[place], t) for (place, _), t in batch])
            for key, _ in batch:
                del self._tasks[key]

    def _dynamodb(self) -> DynamoDb:
        if self._client is None:
            self._client = DynamoDb(self._environ)
        return self._client.until(self.deadline)
