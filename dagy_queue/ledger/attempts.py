"""The end of one attempt of a run and the beginning of the next, as the ledger keeps them.

``RunLedger`` calls it for the second pass of a run. How often each budget of retries was used is counted in the run's
hash, in a field that is there only once it is: ``retries`` counts all of them, as Celery does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dagy_queue.ids import AttemptId
from dagy_queue.ledger.connection import RedisConnection

COUNTED = ("oom_retries", "spot_retries", "start_retries")
"""Budgets that are counted by themselves; what remains of ``retries`` is that of ``max_retries``."""

_MOST_TEXT = 500
"""Characters of each text that is kept of an attempt while the next one goes on."""

_FIELDS = (
    *("attempt", "retries", "completion", "cancel", "request", "delta", "batch", "shard", "late", "crew"),
    *("leader", "change", "arns", *COUNTED),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedRun:
    """A run whose attempt is over, as its resumed task finds it."""

    attempt_id: AttemptId
    retries: int
    completion: Mapping[str, Any]
    cancel_reason: str
    request: Mapping[str, Any]
    """The request, or for a shard what differs from its batch's request."""
    batch_id: str
    shard: int | None
    is_late: bool = False
    """Its timeout was over before the attempt ended, or its task had not started in time."""
    never_started: bool = False
    """Its task had not started in time."""
    shared_container: bool = False
    """Other shards ran in the same container: how that ended need not be how this run did."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """The retries that each budget has paid for, by the field of the request that sets it."""
    change: Mapping[str, Any] = field(default_factory=dict)
    """What this attempt had otherwise than the request says."""
    earlier_tasks: Mapping[str, str] = field(default_factory=dict)
    """The ECS tasks of the attempts before, by the attempt's number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NextAttempt:
    """What is particular about a run's next attempt."""

    counted: str = ""
    """Which of ``COUNTED`` pays for it; '' is ``max_retries``."""
    change: Mapping[str, Any] = field(default_factory=dict)
    """What it has otherwise than the request says; {} leaves that as it was."""
    pool: str = ""
    """Where it waits; '' where the attempt before did."""
    cpu: int | None = None
    """Its CPU units; None as many as before."""
    ended: Mapping[str, Any] = field(default_factory=dict)
    """The outcome of the attempt before."""


AS_BEFORE = NextAttempt()


@dataclass(frozen=True, slots=True)
class Claimant:
    """A pass that concludes a run: its name, and the seconds without a sign of life after which it counts as dead."""

    name: str
    lease: float


ANYBODY = Claimant("", 0.0)
"""A pass that takes the place of any other."""


def counts_of(fields: Mapping[str, str]) -> dict[str, int]:
    """Return the retries that each budget has paid for, from the fields of a run's hash."""
    counts = {name: int(fields[name]) for name in COUNTED if fields.get(name)}
    code = int(fields.get("retries") or 0) - sum(counts.values())
    return counts | ({"max_retries": code} if code > 0 else {})


def earlier_tasks_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the ECS tasks of the attempts before, by the attempt's number, from the fields of a run's hash."""
    pairs = (line.partition(" ") for line in fields.get("arns", "").splitlines())
    return {attempt: arn for attempt, _, arn in pairs}


def begin_next(connection: RedisConnection, attempt_id: AttemptId, delay: float, again: NextAttempt) -> int | None:
    """Begin the next attempt in ``delay`` seconds; None if the run isn't stopped at this attempt."""
    ended = {name: value[-_MOST_TEXT:] if isinstance(value, str) else value for name, value in again.ended.items()}
    number = int(
        connection.run(
            "retry",
            attempt_id.run_id,
            attempt_id.attempt,
            int(delay * 1000),
            again.counted,
            json.dumps(again.change) if again.change else "",
            again.pool,
            again.cpu or "",
            json.dumps(ended) if ended else "",
        )
    )
    return None if number < 0 else number


def claim(
    connection: RedisConnection, run_id: str, resume: int | None, claimant: Claimant = ANYBODY
) -> StoppedRun | None:
    """Begin the second pass, which the ``resume``-th message to this run brought; return what it needs.

    None unless the run is stopped and waits for it, was not resumed again since, and no other pass has it.
    """
    lease = int(claimant.lease * 1000)
    values = connection.run("claim", run_id, "" if resume is None else resume, claimant.name, lease, *_FIELDS)
    if not values:
        return None
    fields = {name: str(value) for name, value in zip(_FIELDS, values, strict=True) if value is not None}
    text = fields.get("completion")
    shard = fields.get("shard")
    return StoppedRun(
        attempt_id=AttemptId(run_id, int(fields["attempt"])),
        retries=int(fields.get("retries", 0)),
        completion=json.loads(text) if text else {},
        cancel_reason=fields.get("cancel", ""),
        request=json.loads(fields.get("request") or fields.get("delta") or "{}"),
        batch_id=fields.get("batch", ""),
        shard=int(shard) if shard is not None else None,
        is_late="late" in fields,
        never_started=fields.get("late") == "start",
        shared_container=bool(fields.keys() & {"crew", "leader"}),
        counts=counts_of(fields),
        change=json.loads(fields.get("change") or "{}"),
        earlier_tasks=earlier_tasks_of(fields),
    )


def due_in(connection: RedisConnection, run_id: str) -> float | None:
    """Return in how many seconds the delay of a run is over; None if it waits for none."""
    with connection.errors():
        due = connection.client.zscore(connection.key("delayed"), run_id)
        seconds, microseconds = connection.client.time()
    return None if due is None else max(0.0, float(due) / 1000 - seconds - microseconds / 1e6)
