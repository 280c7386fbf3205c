"""The handle of one run: its status, its outcome, its result. ``launch`` returns it; any process can make one by id."""

from __future__ import annotations

from typing import Any

from celery.result import AsyncResult

from dagy_queue.errors import ResultTimeout
from dagy_queue.ledger import Cancelled, Phase, RunEntry, RunStatus
from dagy_queue.messaging.cancelling import cancel_run
from dagy_queue.outcomes import Outcome
from dagy_queue.producer.publisher import Publisher, default_publisher
from dagy_queue.producer.waiting import wait_for

STATUS_OF_STATE = {
    "SUCCESS": RunStatus.SUCCEEDED,
    "FAILURE": RunStatus.FAILED,
    "REVOKED": RunStatus.CANCELLED,
}


class RunHandle:
    """A run, known by its id. The id is the Celery task id, so ``celery.result.AsyncResult(run_id)`` works as well."""

    def __init__(self, run_id: str, publisher: Publisher | None = None) -> None:
        self.run_id = run_id
        self._publisher = publisher or default_publisher()
        self.result = self._publisher.app.AsyncResult(run_id)
        """Celery's own result object."""

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the run and return its result; ``timeout`` in seconds, None waits for as long as it takes.

        Raises RunFailed, RunCancelled, ResultTimeout, RedisUnavailable, or RunNotFound if after ``timeout`` the ledger
        knows no such run.
        """
        try:
            return wait_for(self.result, f"run {self.run_id}", timeout, self._publisher.settings.redis.url)
        except ResultTimeout:
            self.entry()
            raise

    def status(self) -> RunStatus:
        """Return the public status. Raises RunNotFound, RedisUnavailable."""
        return status_of(self.entry(), self.result)

    def entry(self) -> RunEntry:
        """Return all that the ledger knows: phase, attempt, task ARN, times. Raises RunNotFound, RedisUnavailable."""
        return self._publisher.runs.get(self.run_id)

    def outcome(self) -> Outcome | None:
        """Return how the last attempt ended; None while it goes on. Raises RunNotFound, RedisUnavailable."""
        entry = self.entry()
        if not entry.completion:
            return None
        return Outcome.from_dict(entry.completion["outcome"])

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask for the run to end: a waiting one is dropped, a running container is stopped.

        The wish and its ``reason``, which the outcome tells, are in the ledger when this returns; a dispatcher stops
        the container, and the run ends as CANCELLED. A run that is over stays as it is, and one whose container has
        succeeded is over; one that failed is not tried again. Raises RunNotFound, RedisUnavailable.
        """
        if cancel_run(self._publisher.runs, self.run_id, reason or "cancelled") is Cancelled.UNKNOWN:
            self.entry()  # raises RunNotFound, in its own words

    def __repr__(self) -> str:
        return f"RunHandle({self.run_id!r})"


def status_of(entry: RunEntry, result: AsyncResult) -> RunStatus:
    """Return the public status of a run: Celery stores its result a moment before the ledger hears of it."""
    if entry.phase in (Phase.STOPPED, Phase.QUEUED):
        return STATUS_OF_STATE.get(result.state, entry.status)
    return entry.status
