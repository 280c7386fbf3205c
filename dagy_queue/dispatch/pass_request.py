"""A message of a run as a dispatcher's Celery worker has it: the ledger says whether it is wanted, not the worker.

``dispatch/tasks.py`` names it to Celery. Celery's own drops a message whose ``expires`` has passed, and stores that the
task is revoked: also that of a run which was parked in time, and whose message the broker delivers once more.
"""

from __future__ import annotations

from celery.worker.request import Request

from dagy_queue.messaging.names import ATTEMPT_HEADER


class PassRequest(Request):
    """A request for one pass of a run."""

    def maybe_expire(self) -> bool:
        """Never here: the first pass ends a run that has expired, unless it was parked before."""
        return False

    def revoked(self) -> bool:
        """Tell whether to drop the message; never that of a second pass, whose run may have been cancelled or not."""
        return ATTEMPT_HEADER not in self.request_dict and bool(super().revoked())
