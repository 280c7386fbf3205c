"""What became of every run: the ledger, Celery's results, ECS and the callbacks, held against each other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagy_queue import Phase, RunStatus
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.history import HistoryLedger
from scripts.chaos_support.application import NOTED
from scripts.chaos_support.workload import Workload

_AT_ONCE = 500
_PHASES = {RunStatus.SUCCEEDED: Phase.SUCCEEDED, RunStatus.FAILED: Phase.FAILED, RunStatus.CANCELLED: Phase.CANCELLED}
_STATES = {RunStatus.SUCCEEDED: "SUCCESS", RunStatus.FAILED: "FAILURE", RunStatus.CANCELLED: "REVOKED"}
_QUEUES = ("leases", "delayed", "tasks", "stops", "passes", "published_batches", "ending", "cancelling")
_QUEUES_BY_LIST = ("published", "resumed")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must be so."""

    what: str
    expected: int
    found: int
    examples: Sequence[str] = ()

    @property
    def is_right(self) -> bool:
        """Whether it is."""
        return self.expected == self.found


def findings(workload: Workload, connection: RedisConnection, aws: AwsClients) -> Iterator[Finding]:
    """Yield everything that must be so once all runs have ended."""
    ids, total = list(workload.expected), len(workload.expected)
    phases = ledger_phases(connection, ids)
    wrong = [run_id for run_id in ids if phases.get(run_id) is not _PHASES[workload.expected[run_id]]]
    yield Finding("runs in their right final state", total, total - len(wrong), wrong[:3])
    states = celery_states(connection, ids)
    wrong = [run_id for run_id in ids if states.get(run_id) != _STATES[workload.expected[run_id]]]
    yield Finding("Celery results that say the same", total, total - len(wrong), wrong[:3])
    yield from _tasks(workload, tasks(aws))
    yield Finding("slots that are not free", 0, *_leaked(connection))
    yield Finding("entries left in queues", 0, *_left(connection))
    yield from _callbacks(workload, connection)


def ledger_phases(connection: RedisConnection, ids: Sequence[str]) -> dict[str, Phase]:
    """Return the phase of each run in the ledger."""
    history = HistoryLedger(connection)
    return {
        snapshot.entry.run_id: snapshot.entry.phase
        for first in range(0, len(ids), _AT_ONCE)
        for snapshot in history.snapshots(ids[first : first + _AT_ONCE])
    }


def celery_states(connection: RedisConnection, ids: Sequence[str]) -> dict[str, str]:
    """Return what Celery's result backend says of each run."""
    found: dict[str, str] = {}
    for first in range(0, len(ids), _AT_ONCE):
        part = ids[first : first + _AT_ONCE]
        texts: Any = connection.client.mget([f"celery-task-meta-{run_id}" for run_id in part])
        found.update({run_id: json.loads(text)["status"] for run_id, text in zip(part, texts, strict=True) if text})
    return found


def tasks(aws: AwsClients) -> list[Mapping[str, Any]]:
    """Return every task that ECS has had."""
    arns = [
        arn
        for status in ("RUNNING", "STOPPED")
        for page in aws.ecs_control.get_paginator("list_tasks").paginate(cluster="dagy", desiredStatus=status)  # type: ignore[arg-type]
        for arn in page["taskArns"]
    ]
    found: list[Mapping[str, Any]] = []
    for first in range(0, len(arns), 100):
        found += aws.ecs_control.describe_tasks(cluster="dagy", tasks=arns[first : first + 100])["tasks"]
    return found


def _tasks(workload: Workload, found: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    by_attempt = Counter(str(task.get("startedBy")) for task in found)
    twice = [started_by for started_by, count in by_attempt.items() if count > 1]
    yield Finding("attempts with two ECS tasks", 0, len(twice), twice[:3])
    alive = [str(task["taskArn"]) for task in found if task["lastStatus"] != "STOPPED"]
    yield Finding("ECS tasks that still run", 0, len(alive), alive[:3])
    needed = sum(2 if status is RunStatus.FAILED else 1 for status in workload.expected.values())
    yield Finding("ECS tasks (one per run, two where it fails)", needed, len(found))


def _leaked(connection: RedisConnection) -> tuple[int, list[str]]:
    leaked = []
    for key in connection.client.scan_iter(match=connection.key("slots", "*"), count=1000):
        slots: Any = connection.client.hgetall(key)
        leaked += [f"{key} {slot} {count}" for slot, count in slots.items() if int(count) != 0]
    return len(leaked), leaked[:3]


def _left(connection: RedisConnection) -> tuple[int, list[str]]:
    keys = [connection.key(name) for name in _QUEUES]
    for name in _QUEUES_BY_LIST:
        keys += connection.client.scan_iter(match=connection.key(name, "*"), count=1000)
    left = {key: int(connection.client.zcard(key)) for key in keys}  # type: ignore[arg-type]
    return sum(left.values()), [f"{key} {count}" for key, count in left.items() if count]


def _callbacks(workload: Workload, connection: RedisConnection) -> Iterator[Finding]:
    noted: Any = connection.client.lrange(NOTED, 0, -1)
    calls = Counter(line.split()[0] for line in noted)
    once = [batch.batch_id for batch in workload.batches if calls[batch.batch_id] == 1]
    yield Finding("callbacks called exactly once", len(workload.batches), len(once))
    right = {f"{batch.batch_id} {len(batch)} {workload.failing[batch.batch_id]}" for batch in workload.batches}
    yield Finding("callbacks given every result", len(workload.batches), len(right & set(noted)))
