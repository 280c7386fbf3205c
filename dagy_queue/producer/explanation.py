"""What became of a run and what comes next, as plain data: ``dagy-queue explain`` and ``DagLauncher.explain``.

From the ledger while the run is there, from its record after that, as ``producer/status.py`` does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from dagy_queue.errors import RunNotFound
from dagy_queue.ledger import Phase, RunEntry, RunStatus
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.run import status_of
from dagy_queue.producer.status import find_record

if TYPE_CHECKING:
    from dagy_queue.records.runs import RunRecord

_OVER = "nothing: the run is over"

_NEXT = {
    Phase.QUEUED: "a dispatcher takes it from the queue",
    Phase.HELD: "its task is launched when there is room for it",
    Phase.SUBMITTING: "its task is being launched",
    Phase.SUBMITTED: "its task starts",
    Phase.PROVISIONING: "its task starts",
    Phase.PENDING: "its task starts",
    Phase.RUNNING: "its container runs",
    Phase.STOPPED: "its dispatcher concludes what to make of its end",
}


class _Words(TypedDict):
    """How the last attempt that ended did."""

    kind: str
    """The kind of end; '' while there is none."""
    summary: str
    detail: str
    resolution: str
    exit_code: int | None
    stop_code: str
    task_arn: str


class Explanation(_Words):
    """What became of a run, ready for JSON."""

    run_id: str
    org_id: str
    flow_name: str
    status: str
    """QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED."""
    phase: str
    attempt: int
    """Which attempt it is at; they count from 1."""
    retries: int
    retries_of: Mapping[str, int]
    """How many of them each budget has paid for, by the field of the request; {} for a run that left the ledger."""
    next: str
    """What happens next, in words."""
    retry_in: float | None
    """Seconds until the next attempt may be launched."""


def find_explanation(publisher: Publisher, run_id: str) -> Explanation | None:
    """Return what the ledger says of a run, else its record; None if neither knows it."""
    try:
        entry = publisher.runs.get(run_id)
        status = status_of(entry, publisher.app.AsyncResult(run_id))
        return explanation_of_entry(entry, status, publisher.runs.due_in(run_id))
    except RunNotFound:
        pass
    return explanation_of_record(find_record(run_id))


def explanation_of_entry(entry: RunEntry, status: RunStatus, due_in: float | None) -> Explanation:
    """Return what the ledger says of a run whose delay, if it has one, is over in ``due_in`` seconds."""
    outcome = (entry.completion or {}).get("outcome") or entry.ended_before or {}
    waits = None if status.is_final else due_in
    return Explanation(
        run_id=entry.run_id,
        org_id=entry.org_id,
        flow_name=entry.flow_name,
        status=status.value,
        phase=entry.phase.value,
        attempt=entry.attempt,
        retries=entry.retries,
        retries_of=entry.counts,
        **_words(outcome, entry.task_arn),
        next=_OVER if status.is_final else _next(entry, waits),
        retry_in=None if waits is None else round(waits, 1),
    )


def explanation_of_record(record: RunRecord | None) -> Explanation | None:
    """Return what a record says of a run."""
    if record is None:
        return None
    status = RunStatus(record.status)
    return Explanation(
        run_id=record.run_id,
        org_id=record.org_id,
        flow_name=record.flow_name,
        status=record.status,
        phase=record.phase,
        attempt=record.attempt,
        retries=record.retries,
        retries_of={},
        **_words(record.outcome or {}, record.task_arn),
        next=_OVER if status.is_final else "not known: the ledger has no such run any more",
        retry_in=None,
    )


def _words(outcome: Mapping[str, Any], task_arn: str) -> _Words:
    """Return what an outcome says; of a run that goes on, its own task counts."""
    return _Words(
        kind=str(outcome.get("kind") or ""),
        summary=str(outcome.get("summary") or ""),
        detail=str(outcome.get("detail") or ""),
        resolution=str(outcome.get("resolution") or ""),
        exit_code=outcome.get("exit_code"),
        stop_code=str(outcome.get("stop_code") or ""),
        task_arn=task_arn or str(outcome.get("task_arn") or ""),
    )


def _next(entry: RunEntry, due_in: float | None) -> str:
    if entry.phase is Phase.RETRYING:
        changes = "".join(f", {words}" for words in _changes(entry.change))
        return f"attempt {entry.attempt} in {_seconds(due_in)}{changes}"
    if entry.phase is Phase.HELD and due_in is not None:
        return f"its launch is tried again in {_seconds(due_in)}: {entry.refusal}"
    return _NEXT.get(entry.phase, "")


def _changes(change: Mapping[str, Any]) -> list[str]:
    memory = [f"with {change['memory']} MiB of memory"] if change.get("memory") else []
    return memory + (["on demand instead of on Spot"] if change.get("on_demand") else [])


def _seconds(number: float | None) -> str:
    return f"{number or 0:.0f} s"
