"""The phases of a run, fine and public; pure values used by every reader of the ledger."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """The public status of a run: the five of Dagy's guide."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """True once nothing more will happen to the run."""
        return self in _FINAL

    @property
    def ended_badly(self) -> bool:
        """True of a run that failed or was cancelled."""
        return self in (RunStatus.FAILED, RunStatus.CANCELLED)


_FINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})


class Phase(StrEnum):
    """Where a run is on its way. The last three are final."""

    QUEUED = "QUEUED"
    """Published; its message has not been worked on yet."""
    HELD = "HELD"
    """Parked, waiting in the admission queue."""
    RETRYING = "RETRYING"
    """Waiting for the delay before its next attempt."""
    SUBMITTING = "SUBMITTING"
    """Leased to a dispatcher that is calling RunTask."""
    SUBMITTED = "SUBMITTED"
    """ECS has accepted the task."""
    PROVISIONING = "PROVISIONING"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    """As ECS reports the task."""
    STOPPED = "STOPPED"
    """The attempt is over and the parked Celery task has been resumed."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def status(self) -> RunStatus:
        """The public status that this phase shows as."""
        return _STATUS_OF.get(self, RunStatus.QUEUED)


_STATUS_OF = {
    Phase.RUNNING: RunStatus.RUNNING,
    Phase.STOPPED: RunStatus.RUNNING,
    Phase.SUCCEEDED: RunStatus.SUCCEEDED,
    Phase.FAILED: RunStatus.FAILED,
    Phase.CANCELLED: RunStatus.CANCELLED,
}

_PHASE_OF_TASK = {
    "PROVISIONING": Phase.PROVISIONING,
    "PENDING": Phase.PENDING,
    "ACTIVATING": Phase.PENDING,
    "RUNNING": Phase.RUNNING,
}


def phase_of_task(last_status: str) -> Phase | None:
    """Return the phase that an ECS task's lastStatus means; None if it changes nothing (a task on its way down)."""
    return _PHASE_OF_TASK.get(last_status)
