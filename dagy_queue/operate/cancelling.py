"""Cancelling what the command line names, and saying what became of it."""

from __future__ import annotations

from typing import Literal, TypedDict

from dagy_queue.errors import BatchNotFound
from dagy_queue.ledger import Cancelled
from dagy_queue.messaging.cancelling import cancel_run
from dagy_queue.operate.finding import Target
from dagy_queue.producer.publisher import Publisher

_WORDS = {
    Cancelled.UNKNOWN: "has ended long ago: the ledger no longer has it",
    Cancelled.FINISHED: "had ended already",
    Cancelled.ALREADY: "was cancelled before, and is about to end",
    Cancelled.QUEUED: "is cancelled; it had not been taken from the queue",
    Cancelled.DROPPED: "is cancelled; it was waiting",
    Cancelled.SUBMITTING: "is cancelled; its task is being launched, and is stopped as soon as it is known",
    Cancelled.STOP: "is cancelled; its container is being stopped",
    Cancelled.STOPPED: "is cancelled; its container has just ended, and if it succeeded the run has as well",
}
_BATCH_WORDS = {
    "cancelled": "is cancelled: its waiting shards are dropped, its containers are being stopped",
    "already": "was cancelled before, and is about to end",
    "over": "had ended already",
    "unknown": _WORDS[Cancelled.UNKNOWN],
}
_CHANGED = ("queued", "dropped", "submitting", "stop", "stopped", "cancelled")


class CancelReport(TypedDict):
    """What became of a wish to cancel, ready for JSON."""

    kind: Literal["run", "batch"]
    id: str
    found: str
    """What it was found as: of a run unknown, finished, already, queued, dropped, submitting, stop or stopped; of a
    batch cancelled, already, over or unknown."""
    cancelled: bool
    """Whether it ends because of this wish."""
    what: str
    """The same in words."""


def cancel_target(publisher: Publisher, target: Target, reason: str) -> CancelReport:
    """Cancel a run or a batch. Raises RedisUnavailable."""
    if target.is_batch:
        try:
            found = publisher.batches.cancel(target.id, reason)
        except BatchNotFound:
            found = "unknown"
        return _report("batch", target.id, found, _BATCH_WORDS[found])
    answer = cancel_run(publisher.runs, target.id, reason)
    return _report("run", target.id, answer.value, _WORDS[answer])


def _report(kind: Literal["run", "batch"], identifier: str, found: str, words: str) -> CancelReport:
    return CancelReport(
        kind=kind, id=identifier, found=found, cancelled=found in _CHANGED, what=f"{kind} {identifier} {words}"
    )
