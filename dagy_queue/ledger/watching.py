"""The ledger's face for monitors: which runs and batches changed, and how they are now.

Every script that changes a phase tells of it in a stream, in the same step; it keeps the last 50,000 changes. The
bridge's monitor (``bridge/monitor.py``), one at a time, reads it: for Celery's task events and for metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dagy_queue.ids import shard_id
from dagy_queue.ledger.connection import LONGEST_BLOCK, RedisConnection
from dagy_queue.ledger.entries import ENTRY_FIELDS, SHARED_FIELDS, RunEntry, read_entry
from dagy_queue.ledger.leadership import MONITOR
from dagy_queue.ledger.phases import Phase
from dagy_queue.ledger.streams import turn_off, turn_on
from dagy_queue.requests.policies import BatchPolicy
from dagy_queue.requests.shards import shard_request

START = "0-0"
_ASKED_TOGETHER = 5000
"""Milliseconds in which several who ask for everything again count as one, unless they are answered before."""
_OF_RUN = ("batch", *(name for name in ENTRY_FIELDS if name != "batch"), "request", "delta", "pool", "parent", "root")
_OF_RUNS_BATCH = (*SHARED_FIELDS, "request", "pool", "root", "total")
_BATCH_FIELDS = (
    *("org", "flow", "correlation", "total", "pool", "root", "created", "ended"),
    *("cancel", "refused", "policy", "callback_id"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the stream: of a run, of a batch (with shards that it entered), or that all is asked for again."""

    entry_id: str
    run_id: str = ""
    phase: str = ""
    was: str = ""
    """The phase that the run left; '' where it had none."""
    seconds: float | None = None
    """For how long it was in that."""
    kind: str = ""
    """What kind of end an attempt had that stopped."""
    batch_id: str = ""
    shards: range = range(0)
    again: bool = False

    @property
    def has_entered(self) -> bool:
        """Whether its runs are new among those that wait for their launch."""
        return bool(self.shards) or (self.phase == Phase.HELD and self.was in ("", Phase.QUEUED))

    @property
    def run_ids(self) -> Iterator[str]:
        """The runs that it concerns."""
        if self.run_id:
            yield self.run_id
        for shard in self.shards:
            yield shard_id(self.batch_id, shard)

    @property
    def told_at(self) -> float:
        """When it was told, in seconds since 1970."""
        return int(self.entry_id.partition("-")[0]) / 1000


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """A run as it is now, and what it hangs on."""

    entry: RunEntry
    request: Mapping[str, Any]
    """What was asked for; empty before the run is parked."""
    pool: str
    """Region, cluster and capacity type; '' before the run is parked."""
    parent_id: str
    root_id: str
    shards: int
    """How many its batch has; 0 without one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchedBatch:
    """A batch as it is now."""

    batch_id: str
    org_id: str
    flow_name: str
    correlation_id: str
    total: int
    pool: str
    root_id: str
    created_at: datetime
    ended_at: datetime | None
    cancel_reason: str
    refused: str
    tolerated: int
    """How many of its shards may fail."""
    callback_id: str
    """The task that has its result."""
    has_callback: bool
    """Whether that is a task of the caller's; without one, the results are only collected."""
    counts: Mapping[Phase, int]
    """Its shards by phase."""


class WatchLedger:
    """What monitors read."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection
        self._stream = connection.key("watched")
        self._place = connection.key("watched", "place")

    def open(self) -> None:
        """See to it that changes are told, also if somebody closed this."""
        turn_on(self.connection, self._stream)

    def close(self) -> bool:
        """Forget what was told, and have nothing told any more; False if some monitor leads."""
        return turn_off(self.connection, MONITOR, self._stream, self._place)

    def ask_again(self) -> bool:
        """Have everything told once more that the stream still knows of; False if somebody asked just now."""
        return bool(self.connection.run("watch_again", _ASKED_TOGETHER))

    def answer(self) -> None:
        """Note that everything is told again from here on: who asks later has missed some of it, and asks anew."""
        with self.connection.errors():
            self.connection.client.delete(self.connection.key("watched", "again"))

    def wait(self, after: str, seconds: float) -> None:
        """Block until something is told after an entry, or ``seconds`` have passed."""
        block = max(1, int(min(seconds, LONGEST_BLOCK) * 1000))
        with self.connection.errors():
            self.connection.blocking_client.xread({self._stream: after}, count=1, block=block)

    def read(self, after: str, most: int) -> list[Change]:
        """Return up to ``most`` changes after an entry, the oldest first."""
        with self.connection.errors():
            entries: Any = self.connection.client.xrange(self._stream, min=f"({after}", count=most)
        return [_change(entry_id, fields) for entry_id, fields in entries]

    def place(self) -> tuple[str, str]:
        """Return the last entry that was announced, and the last one that was counted, by whichever monitor."""
        with self.connection.errors():
            found: Any = self.connection.client.hmget(self._place, ("announced", "counted"))
        return found[0] or START, found[1] or START

    def keep_place(self, announced: str, counted: str) -> None:
        """Note how far a monitor is, for the next one."""
        with self.connection.errors():
            self.connection.client.hset(self._place, mapping={"announced": announced, "counted": counted})

    def runs(self, run_ids: Sequence[str]) -> list[WatchedRun]:
        """Return runs as they are now; those that the ledger has forgotten are left out."""
        names = (len(_OF_RUN), *_OF_RUN, len(_OF_RUNS_BATCH), *_OF_RUNS_BATCH)
        rows, shared = self.connection.run("watch_runs", *names, *run_ids) if run_ids else ([], [])
        batches = {batch_id: _named(_OF_RUNS_BATCH, values) for batch_id, values in shared}
        requests = {batch_id: json.loads(fields.get("request", "{}")) for batch_id, fields in batches.items()}
        runs = ((run_id, _named(_OF_RUN, values)) for run_id, values in zip(run_ids, rows, strict=True))
        return [
            _watched(run_id, own, batches.get(own.get("batch", ""), {}), requests.get(own.get("batch", ""), {}))
            for run_id, own in runs
            if "phase" in own
        ]

    def batches(self, batch_ids: Sequence[str]) -> list[WatchedBatch]:
        """Return batches as they are now; those that the ledger has forgotten are left out."""
        found = self._fields("batch", batch_ids, _BATCH_FIELDS)
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=False)
            for batch_id in batch_ids:
                pipeline.hgetall(self.connection.key("batch", batch_id, "counts"))
                pipeline.hstrlen(self.connection.key("batch", batch_id), "callback")
            others = pipeline.execute() if batch_ids else []
        rows = zip(batch_ids, found, others[::2], others[1::2], strict=True)
        return [_batch(batch_id, fields, *rest) for batch_id, fields, *rest in rows if "created" in fields]

    def tasks_in(self, cluster: str) -> int:
        """Return how many tasks are in flight in a cluster, ``<region>/<cluster>``."""
        with self.connection.errors():
            found: Any = self.connection.client.hget(self.connection.key("slots", cluster), "tasks")
        return max(0, int(found or 0))

    def _fields(self, kind: str, ids: Sequence[str], names: Sequence[str]) -> list[dict[str, str]]:
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=False)
            for identifier in ids:
                pipeline.hmget(self.connection.key(kind, identifier), names)
            rows = pipeline.execute() if ids else []
        return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows]


def _change(entry_id: str, fields: Mapping[str, str]) -> Change:
    if "run" in fields:
        phase, was, milliseconds, kind = fields["moved"].split(" ")
        seconds = int(milliseconds) / 1000 if milliseconds else None
        return Change(entry_id, fields["run"], phase=phase, was=was, seconds=seconds, kind=kind)
    first, count = int(fields.get("first", 0)), int(fields.get("count", 0))
    shards = range(first, first + count)
    return Change(entry_id, batch_id=fields.get("batch", ""), shards=shards, again="again" in fields)


def _named(names: Sequence[str], values: str) -> dict[str, str]:
    return {name: value for name, value in zip(names, json.loads(values), strict=True) if value}


def _watched(run_id: str, own: Mapping[str, str], shared: Mapping[str, str], base: Mapping[str, Any]) -> WatchedRun:
    entry = read_entry(run_id, own, shared)
    delta = json.loads(own.get("delta") or "{}")
    parent = own.get("parent", "") or entry.batch_id
    return WatchedRun(
        entry=entry,
        request=shard_request(base, delta, entry.shard) if base and entry.shard is not None else _request(own),
        pool=own.get("pool") or shared.get("pool", ""),
        parent_id=parent,
        root_id=own.get("root") or shared.get("root") or parent or entry.run_id,
        shards=int(shared.get("total", 0)),
    )


def _request(own: Mapping[str, str]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(own.get("request") or "{}")
    return found


def _batch(batch_id: str, fields: Mapping[str, str], counts: Mapping[str, str], callback: int) -> WatchedBatch:
    total, ended = int(fields.get("total", 0)), fields.get("ended")
    return WatchedBatch(
        batch_id=batch_id,
        org_id=fields.get("org", ""),
        flow_name=fields.get("flow", ""),
        correlation_id=fields.get("correlation", ""),
        total=total,
        pool=fields.get("pool", ""),
        root_id=fields.get("root") or batch_id,
        created_at=_time(fields["created"]),
        ended_at=_time(ended) if ended else None,
        cancel_reason=fields.get("cancel", ""),
        refused=fields.get("refused", ""),
        tolerated=BatchPolicy(**json.loads(fields.get("policy") or "{}")).tolerated(total),
        callback_id=fields.get("callback_id", ""),
        has_callback=callback > 0,
        counts={Phase(name): int(count) for name, count in counts.items() if int(count) > 0},
    )


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(int(text) / 1000, UTC)
