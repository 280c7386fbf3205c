"""The handle of one run: its status, its outcome, its result. ``launch`` returns it; any process can make one by id."""

from __future__ import annotations

import time
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid, RunNotFound
from dagy_queue.ledger import Cancelled, RunEntry, RunStatus
from dagy_queue.messaging.cancelling import cancel_run
from dagy_queue.outcomes import Outcome
from dagy_queue.producer.ends import as_it_ends
from dagy_queue.producer.kept import Kept, kept_in_ledger, kept_in_record
from dagy_queue.producer.publisher import Publisher, default_publisher
from dagy_queue.producer.waiting import reading, wait_for


class RunHandle:
    """A run, known by its id. The id is the Celery task id, so ``celery.result.AsyncResult(run_id)`` works as well."""

    def __init__(self, run_id: str, publisher: Publisher | None = None) -> None:
        self.run_id = checked_run_id(run_id)
        self._publisher = publisher or default_publisher()
        self.result = self._publisher.app.AsyncResult(run_id)
        """Celery's own result object."""

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the run and return its result; ``timeout`` in seconds, None waits for as long as it takes.

        A run that ended long ago answers from what is kept of it: its record, and a flow's report in S3. Raises
        RunFailed, RunCancelled, ResultTimeout, ResultExpired, RedisUnavailable; RunNotFound at once if nobody knows the
        run. A later task of a chain is known once the one before it has ended: until then wait for ``result``. A shard
        is known once it is entered: until then ``BatchHandle.shard`` waits for it.
        """
        began = time.monotonic()
        kept = None if self._is_ready() else self._kept(None if timeout is None else began + timeout)
        if kept is not None and not self._is_ready():  # it may have ended in between
            return kept.answer(self._publisher)
        return wait_for(self.result, f"run {self.run_id}", timeout, began)

    def _kept(self, deadline: float | None) -> Kept | None:
        """Return what is kept of a run that is over; None if it is not. Raises RunNotFound."""
        try:
            entry = self._awaited(deadline)
        except RunNotFound as exc:
            return kept_in_record(exc, self.run_id)
        return kept_in_ledger(self._publisher, entry) if entry.phase.status.is_final else None

    def _awaited(self, deadline: float | None) -> RunEntry:  # noqa: ARG002 - a run is there, or it is not
        """Return the run's entry once it is in the ledger. Raises RunNotFound, or ResultTimeout after the deadline."""
        return self.entry()

    def _is_ready(self) -> bool:
        with reading(self.result):
            return bool(self.result.ready())

    def status(self) -> RunStatus:
        """Return the public status. Raises RunNotFound, RedisUnavailable."""
        return as_it_ends(self.entry(), self.result).status

    def entry(self) -> RunEntry:
        """Return all that the ledger knows: phase, attempt, task ARN, times. Raises RunNotFound, RedisUnavailable."""
        return self._publisher.runs.get(self.run_id)

    def outcome(self) -> Outcome | None:
        """Return how the last attempt ended; None while it goes on. Raises RunNotFound, RedisUnavailable."""
        outcome = (as_it_ends(self.entry(), self.result).completion or {}).get("outcome")
        return Outcome.from_dict(outcome) if outcome else None

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask for the run to end: a waiting one is dropped, a running container is stopped.

        The wish and its ``reason``, which the outcome tells, are in the ledger when this returns; a dispatcher stops
        the container, and the run ends as CANCELLED. A run that is over stays as it is, and one whose container has
        succeeded is over; one that failed is not tried again. Raises RunNotFound, RedisUnavailable.
        """
        if cancel_run(self._publisher.runs, self.run_id, reason or "cancelled") is Cancelled.UNKNOWN:
            self.entry()  # raises RunNotFound, in its own words

    def retry(self) -> RunHandle:
        """Queue what the run was asked for once more, under a new id, and return the handle of that.

        The run must have failed, or been cancelled. Raises RunNotFound if the ledger no longer has it, RequestInvalid,
        RedisUnavailable.
        """
        from dagy_queue.producer.again import launch_again

        return launch_again(self._publisher, self.run_id)

    def __repr__(self) -> str:
        return f"RunHandle({self.run_id!r})"


def checked_run_id(run_id: str) -> str:
    """Return a run's id. Raises RequestInvalid for what is none: another handle, a launch's result, nothing."""
    if not isinstance(run_id, str) or not run_id:
        raise RequestInvalid([Problem("run_id", run_id, "the id of a run, a text, as its handle has it in run_id")])
    return run_id
