"""Runs and batches as the ledger tells monitors of them, for the tests of what is announced."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dagy_queue.bridge.event_texts import Surroundings
from dagy_queue.ledger import Phase, RunEntry
from dagy_queue.ledger.watching import WatchedBatch, WatchedRun
from dagy_queue.settings import EcsSettings
from tests.unit.kit import TASK_ARN

NOW = 1_800_000_000.0
CREATED = datetime(2027, 1, 15, 8, 0, 0, tzinfo=UTC)
STARTED = datetime(2027, 1, 15, 8, 1, 0, tzinfo=UTC)
ENDED = datetime(2027, 1, 15, 8, 3, 0, tzinfo=UTC)
BATCH = "7c344a14-7852-46c8-95b8-f1c3ee1e73fb"
AROUND = Surroundings(EcsSettings(), "us-east-1")
FAILED = {
    "kind": "failed",
    "summary": "ValueError: no such year",
    "detail": "Traceback\n  line 1",
    "resolution": "read the log",
    "exit_code": 1,
    "task_arn": TASK_ARN,
}


def watched_run(phase: Phase = Phase.RUNNING, **fields: Any) -> WatchedRun:
    """Return a run; fields of its entry or of what it hangs on."""
    around = {
        name: fields.pop(name) for name in ("request", "pool", "parent_id", "root_id", "shards") if name in fields
    }
    has_started = phase in (Phase.RUNNING, Phase.STOPPED, Phase.SUCCEEDED, Phase.FAILED)
    values: dict[str, Any] = {
        "run_id": "run-1",
        "phase": phase,
        "attempt": 1,
        "retries": 0,
        "org_id": "acme",
        "flow_name": "report",
        "correlation_id": "order-17",
        "batch_id": "",
        "shard": None,
        "task_arn": "" if phase in (Phase.QUEUED, Phase.HELD) else TASK_ARN,
        "created_at": CREATED,
        "changed_at": ENDED,
        "started_at": STARTED if has_started else None,
        "ended_at": ENDED if phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED) else None,
        "completion": {"outcome": FAILED} if phase is Phase.FAILED else None,
        "cancel_reason": "",
        "refusal": "",
    }
    whole: dict[str, Any] = {
        "request": {"kind": "flow", "flow_name": "report", "org_id": "acme"},
        "pool": "us-east-1/dagy|FARGATE_SPOT",
        "parent_id": "",
        "root_id": "run-1",
        "shards": 0,
    }
    return WatchedRun(entry=RunEntry(**(values | fields)), **(whole | around))


def watched_shard(phase: Phase = Phase.RUNNING, shard: int = 3, **fields: Any) -> WatchedRun:
    """Return a shard of the batch."""
    own = {"batch_id": BATCH, "shard": shard, "correlation_id": f"nightly:{shard}", "parent_id": BATCH}
    return watched_run(phase, **{**own, "root_id": BATCH, "shards": 20, **fields})


def watched_batch(**fields: Any) -> WatchedBatch:
    """Return a batch."""
    values: dict[str, Any] = {
        "batch_id": BATCH,
        "org_id": "acme",
        "flow_name": "report",
        "correlation_id": "nightly",
        "total": 20,
        "pool": "us-east-1/dagy|FARGATE_SPOT",
        "root_id": BATCH,
        "created_at": CREATED,
        "ended_at": None,
        "cancel_reason": "",
        "refused": "",
        "tolerated": 0,
        "callback_id": "callback-1",
        "has_callback": False,
        "counts": {Phase.HELD: 20},
    }
    return WatchedBatch(**(values | fields))
