"""The ledger's face for single runs: entering, parking, observing, completing, finishing, cancelling, reading.

Producers enter runs, dispatchers park and finish them, the bridge observes and completes them. Every method is one
Lua script, a compare-and-set on phase and attempt, so each may be called twice, late, or out of order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dagy_queue.errors import RunNotFound
from dagy_queue.ids import AttemptId
from dagy_queue.ledger.attempts import (
    ANYBODY,
    AS_BEFORE,
    Claimant,
    NextAttempt,
    StoppedRun,
    begin_next,
    claim,
    due_in,
)
from dagy_queue.ledger.connection import RedisConnection
from dagy_queue.ledger.entries import SHARED_FIELDS, RunEntry, milliseconds, read_entry
from dagy_queue.ledger.phases import Phase, RunStatus
from dagy_queue.ledger.publications import NOTHING, Continuation, Following, Publication, flat

_PUBLISHED_AT_ONCE = 200


class Parked(StrEnum):
    """What the first pass of a run found."""

    PARKED = "parked"
    CANCELLED = "cancelled"
    """It was cancelled before, or has expired: its second pass, which is on its way, ends it."""
    BEYOND = "beyond"
    """The run had been parked before: this pass is a redelivery."""


class Applied(StrEnum):
    """What became of an event or a completion."""

    APPLIED = "applied"
    RESUMED = "resumed"
    UNKNOWN = "unknown"
    STALE = "stale"


class Cancelled(StrEnum):
    """What a request to cancel found; see ``lua/cancel.lua``."""

    UNKNOWN = "unknown"
    FINISHED = "finished"
    ALREADY = "already"
    QUEUED = "queued"
    DROPPED = "dropped"
    SUBMITTING = "submitting"
    STOP = "stop"
    STOPPED = "stopped"
    RUNNING = "running"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a run waits: its pool (region, cluster and capacity type), its org's lane, and its priority (0 first).

    ``cpu`` are the CPU units that it takes there, ``timeout`` the seconds from its first task to its end.
    """

    pool: str
    org: str
    priority: int = 0
    cpu: int = 0
    timeout: float | None = None

    def shares(self) -> dict[str, str]:
        """Return what of it the ledger keeps only where it is set."""
        timeout = "" if self.timeout is None else str(int(self.timeout * 1000))
        return {"cpu": str(self.cpu or ""), "timeout": timeout}


@dataclass(frozen=True, slots=True)
class Expiry:
    """In how many seconds a run expires that waits for its launch (0: it has), and the completion of one that has."""

    seconds: float
    completion: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CeleryState:
    """What Celery's result backend keeps of a task that has no result yet, where it is the ledger's own Redis."""

    key: str
    value: str
    seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One ECS event, reduced to what the ledger compares and keeps. ``completion`` is set when the task stopped."""

    attempt_id: AttemptId
    version: int
    task_arn: str
    phase: Phase | None = None
    completion: Mapping[str, Any] | None = None


class RunLedger:
    """Runs in the ledger."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection

    def publish(self, run_id: str, message: Continuation, *, push: bool, about: Mapping[str, str]) -> bool:
        """Enter a run with its message; with ``push``, send the message in the same transaction.

        Returns False if the ledger has the run already (nothing is sent then).
        """
        return bool(self.connection.run("publish", *Publication(run_id, message, about).arguments(push=push)))

    def publish_all(self, publications: Sequence[Publication]) -> list[str]:
        """Enter and send several runs, in few round trips; return those that it has already, left as they are."""
        known: list[str] = []
        for first in range(0, len(publications), _PUBLISHED_AT_ONCE):
            calls = [("publish", p.arguments(push=True)) for p in publications[first : first + _PUBLISHED_AT_ONCE]]
            answers = self.connection.run_many(calls)
            known += [args[0] for (_, args), is_new in zip(calls, answers, strict=True) if not is_new]
        return known

    def park(
        self,
        run_id: str,
        *,
        request: Mapping[str, Any],
        continuation: Continuation,
        place: Place,
        expires: Expiry | None,
        state: CeleryState | None = None,
        about: Mapping[str, str],
    ) -> Parked:
        """Record the first pass: the continuation, the place in the queue and Celery's state, in one step.

        A run that has expired is ended instead.
        """
        found = self.connection.run(
            "park",
            run_id,
            json.dumps(request, separators=(",", ":")),
            continuation.message,
            continuation.list_key,
            place.pool,
            place.org,
            place.priority,
            "" if expires is None else expires.seconds,
            script_json(expires.completion) if expires and not expires.seconds else "",
            *((state.key, state.value, state.seconds) if state else ("", "", "")),
            *flat({**about, **place.shares()}),
        )
        return Parked(found) if found in ("parked", "cancelled") else Parked.BEYOND

    def apply(self, observations: Sequence[Observation]) -> list[Applied]:
        """Apply events, in one round trip; the answers are in the same order."""
        return [Applied(answer) for answer in self.connection.run_many([_call(o) for o in observations])]

    def complete(self, attempt_id: AttemptId, completion: Mapping[str, Any], task_arn: str = "") -> Applied:
        """End an attempt for a reason other than an event, and resume its parked task."""
        end = Observation(attempt_id=attempt_id, version=0, task_arn=task_arn, completion=completion)
        return self.apply([end])[0]

    def give_up(self, attempt_id: AttemptId, completion: Mapping[str, Any]) -> Applied:
        """End an attempt that could not be launched, unless another dispatcher has launched it meanwhile."""
        end = Observation(attempt_id=attempt_id, version=0, task_arn="", completion=completion)
        name, args = _call(end)
        return Applied(self.connection.run(name, *args, 1))

    def retry(self, attempt_id: AttemptId, delay: float, again: NextAttempt = AS_BEFORE) -> int | None:
        """Begin the next attempt in ``delay`` seconds; None if the run isn't stopped at this attempt."""
        return begin_next(self.connection, attempt_id, delay, again)

    def postpone(self, attempt_id: AttemptId, delay: float, at_most: int, longest: float) -> bool:
        """Resume a stopped run again later, unless that happened ``at_most`` times already in this attempt.

        That is in ``delay`` seconds, and in as many more each time, up to ``longest``.
        """
        args = (attempt_id.run_id, attempt_id.attempt, int(delay * 1000), at_most, int(longest * 1000))
        return bool(self.connection.run("postpone", *args))

    def finish(
        self,
        attempt_id: AttemptId,
        status: RunStatus,
        outcome: Mapping[str, Any] | None = None,
        following: Following = NOTHING,
        result_key: str = "",
    ) -> bool:
        """Record that the Celery task has its result, and send what follows, in one step; False if it was done.

        ``result_key`` is where this Redis has the result. If it is lost, the run is resumed instead: False as well.

        ``outcome`` replaces what the event told, in the words of the second pass; a run that ended in its first pass
        has no other. The entry expires after ``finished_ttl``, or ``failed_ttl`` where the run did not succeed.
        """
        redis = self.connection.settings
        ttl = redis.finished_ttl if status is RunStatus.SUCCEEDED else redis.longest_ttl
        text = script_json(outcome) if outcome else ""
        sent = following.arguments() if following else ()
        args = (attempt_id.run_id, attempt_id.attempt, status.value, ttl, text, result_key, *sent)
        return bool(self.connection.run("finish", *args))

    def send(self, following: Following) -> None:
        """Send what follows a run whose end cannot be recorded."""
        self.connection.run("send", *following.arguments())

    def cancel(
        self, run_id: str, reason: str, completion: Mapping[str, Any], *, waiting_only: bool = False
    ) -> tuple[Cancelled, str]:
        """Ask for a run to end. Returns what was found and, where a task must be stopped, its ARN."""
        args = (run_id, reason_text(reason), script_json(completion), int(waiting_only))
        what, arn = self.connection.run("cancel", *args)
        return Cancelled(what), arn

    def cancel_all(self, run_ids: Sequence[str], reason: str, completion: Mapping[str, Any]) -> int:
        """Ask for several runs to end, in one round trip; return how many had not ended."""
        why, text = reason_text(reason), script_json(completion)
        answers = self.connection.run_many([("cancel", (run_id, why, text, 0)) for run_id in run_ids])
        return sum(Cancelled(what) not in (Cancelled.UNKNOWN, Cancelled.FINISHED) for what, _ in answers)

    def drop_shards(
        self, run_ids: Sequence[str], reason: str, completion: Mapping[str, Any], result: CeleryState
    ) -> list[str]:
        """Cancel shards that wait, without a message for each, and store Celery's result; return those that don't wait.

        ``result`` has a blank for the id, and the key of all results without it; without a key nothing is dropped.
        """
        ttl = self.connection.settings.longest_ttl
        args = (reason, script_json(completion), ttl, result.key, result.value, result.seconds, *run_ids)
        return [str(run_id) for run_id in self.connection.run("drop_shards", *args)]

    def get(self, run_id: str) -> RunEntry:
        """Return what is known of a run. Raises RunNotFound."""
        with self.connection.errors():
            fields: dict[str, str] = self.connection.client.hgetall(self._key(run_id))  # type: ignore[assignment]
            if not fields:
                raise RunNotFound(
                    f"run {run_id!r} is not in the ledger: it was never published to this Redis, or ended so long ago "
                    "that its record alone has it (`DagLauncher().get_run_status()` reads it); a later task of a chain "
                    "is published when the one before it has ended (`handle.result.get()` waits for it)"
                )
            shared: dict[str, str] = {}
            if batch := fields.get("batch"):
                values = self.connection.client.hmget(self.connection.key("batch", batch), SHARED_FIELDS)
                shared = {k: str(v) for k, v in zip(SHARED_FIELDS, values, strict=True) if v}
        return read_entry(run_id, fields, shared)

    def claim(self, run_id: str, resume: int | None = None, claimant: Claimant = ANYBODY) -> StoppedRun | None:
        """Begin the second pass, which the ``resume``-th message to this run brought; return what it needs.

        None unless the run is stopped and waits for it, was not resumed again since, and no other pass has it.
        """
        return claim(self.connection, run_id, resume, claimant)

    def claim_first(self, run_id: str, claimant: Claimant) -> bool:
        """Have a first pass end a run that it cannot park; False if another pass does, or it was parked or is over."""
        return bool(self.connection.run("claim_first", run_id, claimant.name, int(claimant.lease * 1000)))

    def keep_claims(self, claims: Mapping[str, str]) -> None:
        """Give a sign of life for passes in hand: the run of each, by its claimant's name."""
        self.connection.run("keep_claims", *_runs_and_claimants(claims))

    def drop_claims(self, claims: Mapping[str, str]) -> None:
        """Let others conclude runs: the run of each pass, by its claimant's name."""
        self.connection.run("drop_claims", *_runs_and_claimants(claims))

    def due_in(self, run_id: str) -> float | None:
        """Return in how many seconds the delay of a run is over; None if it waits for none."""
        return due_in(self.connection, run_id)

    def _key(self, run_id: str) -> str:
        return self.connection.key("run", run_id)


def _runs_and_claimants(claims: Mapping[str, str]) -> list[str]:
    return [part for claimant, run_id in claims.items() for part in (run_id, claimant)]


def _call(observation: Observation) -> tuple[str, Sequence[Any]]:
    run_id, attempt = observation.attempt_id.run_id, observation.attempt_id.attempt
    if observation.completion is not None:
        text = script_json(observation.completion)
        started = milliseconds(observation.completion.get("startedAt")) or ""
        return "complete", (run_id, attempt, observation.version, text, observation.task_arn, started)
    phase = observation.phase or ""
    return "observe", (run_id, attempt, observation.version, phase, observation.task_arn)


def script_json(value: Mapping[str, Any]) -> str:
    """Return JSON that a script can read: cjson refuses half a surrogate, as Python has in names of files."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace").decode()


def reason_text(reason: str) -> str:
    """Return a reason as the ledger keeps it: such as UTF-8 carries, and never empty, for that is no wish."""
    return reason.encode("utf-8", "backslashreplace").decode() or "cancelled"
