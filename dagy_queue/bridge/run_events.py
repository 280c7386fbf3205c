"""From a run or a batch as the ledger has it to the Celery task event that shows it; pure. The announcer sends them.

Each event says all that is known, so that a monitor which missed the one before misses nothing. Custom states (HELD,
SUBMITTED ...) are events of that name, as Celery has it; how a run ended is told by Celery's own events. An event's
``timestamp`` is when it is sent: Celery takes older ones for clocks that differ. What happened when has its own fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dagy_queue.bridge.event_texts import Surroundings, batch_args, batch_kwargs, failure_text, run_args, run_kwargs
from dagy_queue.ledger import Phase
from dagy_queue.ledger.entries import milliseconds
from dagy_queue.ledger.watching import WatchedBatch, WatchedRun
from dagy_queue.messaging.names import FAN_OUT_QUEUE, LAUNCH_QUEUE, LAUNCH_TASK

_CLIENT = "dagy-queue"
_TYPES = {
    Phase.QUEUED: "task-sent",
    Phase.HELD: "task-held",
    Phase.SUBMITTING: "task-held",
    Phase.SUBMITTED: "task-submitted",
    Phase.PROVISIONING: "task-provisioning",
    Phase.PENDING: "task-provisioning",
    Phase.RUNNING: "task-running",
    Phase.RETRYING: "task-retried",
    Phase.SUCCEEDED: "task-succeeded",
    Phase.FAILED: "task-failed",
    Phase.CANCELLED: "task-revoked",
}
_BEFORE_LAUNCH = frozenset({Phase.QUEUED, Phase.HELD, Phase.SUBMITTING, Phase.RETRYING})
_REVOKED = {"terminated": True, "signum": None, "expired": False, "state": "REVOKED"}
"""Celery ranks custom states above REVOKED (``celery.states.precedence``), so the state itself is told as well."""


def entered_event(run: WatchedRun, around: Surroundings, now: float) -> dict[str, Any]:
    """Return the event of a run that begins to wait for its launch: monitors count runs by it."""
    return {
        "type": "task-received",
        "uuid": run.entry.run_id,
        "hostname": around.hostname(run.pool),
        "timestamp": now,
        "name": run.entry.flow_name or LAUNCH_TASK,
        "eta": _eta(run.entry.created_at),
    }


def run_event(run: WatchedRun, around: Surroundings, now: float, result: str = "") -> dict[str, Any]:
    """Return the event of a run. ``result`` is what it returned, as text, where it succeeded."""
    entry = run.entry
    kind = _TYPES.get(entry.phase) or ("task-running" if entry.started_at else "task-provisioning")
    event = {
        "type": kind,
        "uuid": entry.run_id,
        "hostname": _CLIENT if kind == "task-sent" else around.hostname(run.pool),
        "timestamp": now,
        "name": entry.flow_name or LAUNCH_TASK,
        "args": run_args(run, around),
        "kwargs": repr(run_kwargs(run, around)),
        "root_id": run.root_id,
        "parent_id": run.parent_id or None,
        "retries": entry.retries,
        "received": entry.created_at.timestamp(),
        "exchange": "",
        "routing_key": LAUNCH_QUEUE,
        "eta": _eta(entry.created_at),
        _moment_of(kind): entry.changed_at.timestamp(),
    }
    if entry.started_at and entry.phase not in _BEFORE_LAUNCH:
        event["started"] = entry.started_at.timestamp()
    return event | _end_of_run(run, result)


def batch_event(batch: WatchedBatch, around: Surroundings, now: float, why: str = "") -> dict[str, Any]:
    """Return the event of a batch. ``why`` says why it failed, where it did."""
    kind = _type_of_batch(batch)
    event = {
        "type": kind,
        "uuid": batch.batch_id,
        "hostname": _CLIENT if kind == "task-sent" else around.hostname(batch.pool),
        "timestamp": now,
        "name": f"{batch.flow_name} (batch)",
        "args": batch_args(batch),
        "kwargs": repr(batch_kwargs(batch)),
        "root_id": batch.root_id,
        "parent_id": None,
        "retries": 0,
        "received": batch.created_at.timestamp(),
        "exchange": "",
        "routing_key": FAN_OUT_QUEUE,
        "eta": _eta(batch.created_at),
        "result": _progress(batch),
        _moment_of(kind): (batch.ended_at or batch.created_at).timestamp(),
    }
    if batch.ended_at:
        event["runtime"] = (batch.ended_at - batch.created_at).total_seconds()
    if kind == "task-failed":
        event |= {"exception": why or batch.refused or _progress(batch), "traceback": why or batch.refused}
    if kind == "task-revoked":
        why = f"cancelled: {batch.cancel_reason}"
        event |= _REVOKED | {"exception": why, "result": f"{why} ({_progress(batch)})"}
    return event


def _eta(created_at: datetime) -> str:
    """Return from when on it may start. Flower does not count what has an ETA as prefetched by a worker."""
    return created_at.isoformat()


def _moment_of(kind: str) -> str:
    """Return the field that Celery's monitors have for the moment of an event: of task-failed, ``failed``."""
    return kind.removeprefix("task-")


def _end_of_run(run: WatchedRun, result: str) -> dict[str, Any]:
    """Return what an event tells of an attempt that has ended; of one that goes on, why it is held."""
    entry = run.entry
    outcome = (entry.completion or {}).get("outcome") or {}
    if entry.phase is Phase.SUCCEEDED:
        arn = entry.task_arn or str(outcome.get("task_arn") or "")
        text = _container_text(run, outcome) or result or str(outcome.get("summary") or "")
        lines = [text] if arn in text else [text, arn]
        return {"result": "\n".join(filter(None, lines)), "runtime": _runtime(run)}
    if entry.phase is Phase.FAILED:
        return {"exception": _short(outcome), "traceback": failure_text(outcome), "runtime": _runtime(run)}
    if entry.phase is Phase.CANCELLED:
        why = str(outcome.get("summary") or entry.cancel_reason or "cancelled")
        return _REVOKED | {"exception": f"cancelled: {why}", "runtime": _runtime(run)}
    if entry.phase is Phase.RETRYING:
        ended = entry.ended_before or {}
        return {"exception": _short(ended), "traceback": failure_text(ended)}
    if entry.phase in _BEFORE_LAUNCH and entry.refusal:
        return {"result": f"not launched yet: {entry.refusal}"}
    return {}


def _container_text(run: WatchedRun, outcome: Mapping[str, Any]) -> str:
    """Say how a container ended, whose result says nothing more; '' for a flow."""
    return f"exit code {outcome.get('exit_code', 0)}" if run.request.get("kind") == "container" else ""


def _short(outcome: Mapping[str, Any]) -> str:
    kind, summary = str(outcome.get("kind") or "failed"), str(outcome.get("summary") or "")
    return f"{kind}: {summary}" if summary else kind


def _runtime(run: WatchedRun) -> float | None:
    """Return for how many seconds the last container ran; None if it did not."""
    times = run.entry.completion or {}
    started, stopped = milliseconds(times.get("startedAt")), milliseconds(times.get("stoppedAt"))
    if started is not None and stopped is not None:
        return max(0.0, (stopped - started) / 1000)
    if run.entry.started_at is None:
        return None
    return _seconds_between(run.entry.started_at, run.entry.ended_at or run.entry.changed_at)


def _seconds_between(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _type_of_batch(batch: WatchedBatch) -> str:
    counts = batch.counts
    if batch.ended_at is None:
        if not counts:
            return "task-sent"
        return "task-held" if counts.keys() <= {Phase.QUEUED, Phase.HELD, Phase.SUBMITTING} else "task-running"
    cancelled = counts.get(Phase.CANCELLED, 0)
    if batch.cancel_reason and cancelled and not batch.refused:
        return "task-revoked"
    too_many = counts.get(Phase.FAILED, 0) + cancelled > batch.tolerated
    return "task-failed" if batch.refused or too_many else "task-succeeded"


def _progress(batch: WatchedBatch) -> str:
    """Say how far a batch is, in one line."""
    done = {phase: batch.counts.get(phase, 0) for phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)}
    running = batch.counts.get(Phase.RUNNING, 0)
    parts = [f"{sum(done.values())} of {batch.total} done"]
    parts += [
        f"{count} {phase.value.lower()}" for phase, count in done.items() if count and phase is not Phase.SUCCEEDED
    ]
    return ", ".join(parts + ([f"{running} running"] if running else []))
