"""The outcome of a run in its final words, made of how its last attempt ended and of what Celery is told; pure.

The second pass (``dispatch/concluding.py``, ``dispatch/tasks.py``) gives it to the ledger, and so does whoever cancels
(``messaging/cancelling.py``, ``dispatch/batch_end.py``). Handles that find Celery's result a moment before the ledger
hears of it (``producer/ends.py``) say the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dagy_queue.errors import RequestInvalid, RunFailed
from dagy_queue.outcomes.outcome import Kind, Outcome


def failed_with(error: Any) -> dict[str, Any]:
    """Return the outcome of a run that ended with an error; what the error carries, where it does."""
    if isinstance(error, RunFailed) and error.outcome:
        return error.outcome
    resolution = "mend the request and launch again" if isinstance(error, RequestInvalid) else ""
    return Outcome(kind=Kind.FAILED, summary=str(error), resolution=resolution).to_dict()


def revoked(reason: str) -> dict[str, Any]:
    """Return the outcome of a run that was cancelled, or revoked, for the reason given."""
    return Outcome(kind=Kind.CANCELLED, summary=reason).to_dict()


def skipped(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome of a run whose container exited with a code that ``skip_on_exit_code`` names."""
    summary = f"skipped: the container exited with {outcome.exit_code}, which skip_on_exit_code names"
    return replace(outcome, kind=Kind.SUCCEEDED, summary=summary, resolution="").to_dict()
