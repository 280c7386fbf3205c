"""The end of a run in the moment in which Celery has its result and the ledger has not heard of it.

Whoever tells of a run (handles, ``status``, ``list``, ``explain``, ``retry``) asks here: all of them say the same then,
and what the ledger says a moment later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celery.result import AsyncResult

from dagy_queue.ledger import Phase, RunEntry, RunStatus
from dagy_queue.outcomes import Outcome
from dagy_queue.outcomes.final_words import failed_with, revoked, skipped
from dagy_queue.producer.waiting import reading

STATUS_OF_STATE = {
    "SUCCESS": RunStatus.SUCCEEDED,
    "FAILURE": RunStatus.FAILED,
    "REVOKED": RunStatus.CANCELLED,
}
"""The status of a run by the state of its Celery result, where that is final."""


def as_it_ends(entry: RunEntry, result: AsyncResult) -> RunEntry:
    """Return a run's entry as it will be when the ledger hears of its result; as it is where there is none yet.

    Raises RedisUnavailable.
    """
    if entry.phase not in (Phase.STOPPED, Phase.QUEUED):
        return entry
    with reading(result):
        status, value, at = STATUS_OF_STATE.get(result.state), result.result, result.date_done
    if status is None:
        return entry
    known = entry.completion or {}
    outcome = _final_words(known.get("outcome") or {}, status, value)
    ended_at = _in_utc(at) or datetime.now(UTC)
    return replace(entry, phase=Phase(status.value), ended_at=ended_at, completion={**known, "outcome": outcome})


def _final_words(known: Mapping[str, Any], status: RunStatus, value: Any) -> Mapping[str, Any]:
    if status is RunStatus.FAILED:
        return failed_with(value)
    if status is RunStatus.CANCELLED:
        return revoked(str(value))
    if isinstance(value, dict) and value.get("skipped") is True and known.get("exit_code"):
        return skipped(Outcome.from_dict(known))
    return known


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
