"""What becomes of a received message: done with, left for another try, or quarantined; pure. The consumer asks.

What cannot be applied gets ``max_receives`` tries: a newer bridge, or a ledger that has caught up, may take it.
Of a run that the ledger does not know, only the end is worth a second try, and only while the ledger would still keep
that run: later, it is one that ended long ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dagy_queue.bridge.event_queue import Received
from dagy_queue.bridge.events import EventInvalid, TaskEvent
from dagy_queue.ledger.runs import Applied


class Fate(StrEnum):
    """What happens to the message."""

    DONE = "done"
    AGAIN = "again"
    """It stays, and comes back after its visibility timeout."""
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Refused:
    """The ledger's answer to an event that it cannot take at all."""

    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What messages are judged by. ``finished_ttl`` is how many seconds the ledger at least keeps a run that ended,
    ``container_name`` the container that does the work where an event does not tell."""

    max_receives: int
    finished_ttl: float
    container_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The fate of a message, why it is quarantined, and the run that nobody knows, if that is why."""

    fate: Fate
    reason: str = ""
    unknown_run: str = ""


_DONE = Verdict(fate=Fate.DONE)
_AGAIN = Verdict(fate=Fate.AGAIN)


def verdict_on_unreadable(message: Received, error: EventInvalid, rules: Rules) -> Verdict:
    """Judge a message that is no event of ours."""
    return _last_try(message, rules, Verdict(fate=Fate.QUARANTINE, reason=str(error)))


def verdict_on_event(
    message: Received, event: TaskEvent, answer: Applied | Refused, rules: Rules, now: float
) -> Verdict:
    """Judge a message whose event the ledger has seen; ``now`` is in seconds since 1970."""
    if isinstance(answer, Refused):
        reason = f"the ledger cannot take it: {answer.error}"
        return _last_try(message, rules, Verdict(fate=Fate.QUARANTINE, reason=reason))
    if answer is not Applied.UNKNOWN or event.observation.completion is None:
        return _DONE
    stopped_at = event.stopped_at or message.sent_at
    if stopped_at and now - stopped_at > rules.finished_ttl:
        return _DONE
    run_id = event.observation.attempt_id.run_id
    reason = f"its task has ended, but neither the ledger nor the record has its run {run_id}"
    return _last_try(message, rules, Verdict(fate=Fate.QUARANTINE, reason=reason, unknown_run=run_id))


def _last_try(message: Received, rules: Rules, verdict: Verdict) -> Verdict:
    return verdict if message.receives >= rules.max_receives else _AGAIN
