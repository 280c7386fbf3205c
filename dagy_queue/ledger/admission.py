"""The ledger's face for the pump: granting held runs, noting launches, taking back what was not launched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import redis

from dagy_queue.ids import AttemptId, new_id
from dagy_queue.ledger.connection import LONGEST_BLOCK, RedisConnection

_SHORTEST_WAIT = 0.01  # BLPOP waits for ever at 0
_OWN_WAKE_TTL = 60


@dataclass(frozen=True, slots=True)
class CrewMember:
    """A shard that shares the container of another one."""

    attempt_id: AttemptId
    request: Mapping[str, Any]
    """What differs from its batch's request."""
    shard: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """Leave to launch one attempt of one run, for as long as the lease lasts."""

    attempt_id: AttemptId
    retries: int
    request: Mapping[str, Any]
    """The request, or for a shard what differs from its batch's request."""
    batch_id: str
    shard: int | None
    refusals: int
    """How often its launch was refused before."""
    expired: bool
    """The caller's ``expires`` passed while the run waited."""
    crew: tuple[CrewMember, ...] = ()
    """Further shards of its batch that share its container."""
    change: Mapping[str, Any] = field(default_factory=dict)
    """What this attempt has otherwise than its request says."""
    flow_version: str = ""
    """The version of its flow that the run, or its batch, began with; '' while that is open."""


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A task to stop, and why."""

    task_arn: str
    reason: str


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer to one call for grants."""

    grants: tuple[Grant, ...]
    next_due: float | None
    """Seconds until a delay or a lease runs out; None if none is set."""
    more: bool
    """More runs are waiting than were granted."""
    unwanted: tuple[Unwanted, ...] = ()
    """Tasks to stop: their runs were cancelled, or are out of time."""


class Noted(StrEnum):
    """What the ledger says when a task's ARN is noted."""

    NOTED = "noted"
    STALE = "stale"
    """The run is over, or beyond this attempt: the task must be stopped."""
    AHEAD = "ahead"
    """The run is before this attempt, as Redis has lost a moment: it will be answered with this task."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: tokens a second, and how many it holds."""

    rate: float
    burst: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What all dispatchers together keep to; None is no limit. CPU in units of 1/1024 vCPU."""

    calls: Rate | None = None
    """RunTask calls, in each region."""
    launches: Rate | None = None
    """Launches on Fargate, in each region and capacity type."""
    stops: Rate | None = None
    """StopTask calls, in each region."""
    tasks: int | None = None
    """Tasks at once in a cluster."""
    cpu: int | None = None
    """CPU units at once in a cluster."""
    org_tasks: int | None = None
    """Tasks at once of an org in a cluster."""
    org_cpu: int | None = None
    """CPU units at once of an org in a cluster."""
    patience: float = 60.0
    """Seconds for which smaller runs pass one that needs more CPU than is free in its cluster, before that is kept."""


NO_LIMITS = Limits()


class Released(StrEnum):
    """What became of a run whose launch did not happen."""

    HELD = "held"
    STALE = "stale"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class AdmissionLedger:
    """The admission queue."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection
        self._own_wake = connection.key("wake", new_id())

    def lease(
        self,
        most: int,
        lease_seconds: float,
        limits: Limits = NO_LIMITS,
        too_late: Mapping[str, Any] | None = None,
    ) -> Granted:
        """Take up to ``most`` runs, in rotation over the orgs; each is ours for ``lease_seconds``.

        ``too_late`` is the completion of runs whose timeout is over while they wait.
        """
        args = (most, int(lease_seconds * 1000), json.dumps(too_late or {}), json.dumps(asdict(limits)))
        grants, next_due, more, unwanted = self.connection.run("lease", *args)
        due = None if next_due < 0 else next_due / 1000
        return Granted(tuple(_grant(*g) for g in grants), due, bool(more), tuple(Unwanted(*each) for each in unwanted))

    def pass_on(self) -> None:
        """Let another dispatcher have a look at what is waiting: this one has no thread free."""
        with self.connection.errors():
            pipeline = self.connection.client.pipeline()
            self._wake_one(pipeline)
            pipeline.execute()

    def wait(self, seconds: float) -> None:
        """Block until there is something to lease, somebody calls :meth:`interrupt`, or ``seconds`` have passed."""
        with self.connection.errors():
            keys = [self._own_wake, self.connection.key("wake")]
            self.connection.blocking_client.blpop(keys, timeout=min(max(seconds, _SHORTEST_WAIT), LONGEST_BLOCK))

    def interrupt(self) -> None:
        """End the :meth:`wait` of this process, and let another one have the wake-up it may have taken."""
        with self.connection.errors():
            pipeline = self.connection.client.pipeline()
            pipeline.lpush(self._own_wake, "1")
            pipeline.expire(self._own_wake, _OWN_WAKE_TTL)
            self._wake_one(pipeline)
            pipeline.execute()

    def _wake_one(self, pipeline: redis.client.Pipeline) -> None:
        """One token is kept, as the scripts do: each further one would be a turn for nothing once all is launched."""
        pipeline.lpush(self.connection.key("wake"), "1")
        pipeline.ltrim(self.connection.key("wake"), 0, 0)

    def pin(self, run_id: str, flow_version: str) -> str:
        """Keep the version of its flow that a run is to have, for a shard that of its whole batch.

        Returns the version that counts: the first one that was kept. All attempts have it.
        """
        return str(self.connection.run("pin", run_id, flow_version))

    def launched(
        self,
        attempt_id: AttemptId,
        task_arn: str,
        cpu: int | None = None,
        *,
        flow_version: str = "",
        artifact_sha256: str = "",
    ) -> Noted:
        """Note the ECS task of an attempt, and what is known of it: its CPU units, its flow's version and artifact."""
        args = (attempt_id.run_id, attempt_id.attempt, task_arn, cpu or "", flow_version, artifact_sha256)
        return Noted(self.connection.run("launched", *args))

    def not_stopped(self, task_arn: str) -> None:
        """Note that a task could not be asked to stop: whoever finds it without a run next asks again at once."""
        with self.connection.errors():
            self.connection.client.delete(self.connection.key("stop_asked", task_arn))

    def release(
        self,
        attempt_id: AttemptId,
        *,
        delay: float,
        new_attempt: bool,
        give_up_after: float,
        reason: str,
        throttled: bool = False,
        unanswered: bool = False,
    ) -> Released:
        """Hold a run again, for ``delay`` seconds, after a launch that did not happen.

        ``new_attempt`` asks for a new client token (a placement failure is replayed under the old one). ``throttled``
        (RunTask was) lowers the rate of all dispatchers. ``unanswered``: AWS may have made a task all the same.
        """
        flags = (reason, int(throttled), int(unanswered))
        numbers = (int(delay * 1000), int(new_attempt), int(give_up_after * 1000), *flags)
        return Released(self.connection.run("release", attempt_id.run_id, attempt_id.attempt, *numbers))

    def give_back(self, attempt_id: AttemptId, *, called: bool) -> Released:
        """Hold a leased run again, first in its lane, because this dispatcher stops.

        ``called``: RunTask is under way for it, so that AWS may make a task all the same.
        """
        return Released(self.connection.run("give_back", attempt_id.run_id, attempt_id.attempt, int(called)))


def _grant(run_id: str, attempt: str, retries: str, request: str, *rest: Any) -> Grant:
    batch_id, shard, refusals, expired, crew, change, flow_version = rest
    return Grant(
        attempt_id=AttemptId(run_id, int(attempt)),
        retries=int(retries),
        request=json.loads(request) if request else {},
        batch_id=batch_id,
        shard=int(shard) if shard else None,
        refusals=int(refusals),
        expired=expired == "1",
        crew=tuple(_crew_member(*member) for member in crew),
        change=json.loads(change) if change else {},
        flow_version=flow_version,
    )


def _crew_member(run_id: str, attempt: str, request: str, shard: str) -> CrewMember:
    return CrewMember(AttemptId(run_id, int(attempt)), json.loads(request) if request else {}, int(shard))
