"""The command line as a test runs it, and runs and batches of the ledger at any point of their life."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest

from dagy_queue.ids import AttemptId, new_id, shard_id
from dagy_queue.ledger import Continuation, RunStatus
from dagy_queue.ledger.runs import Place
from dagy_queue.operate import cli
from dagy_queue.producer import BatchHandle, DagLauncher, fan_out
from dagy_queue.producer.canvas import to_json
from dagy_queue.producer.publisher import Publisher
from dagy_queue.records.run_queries import RunFilter
from dagy_queue.records.runs import RunRecord
from dagy_queue.requests import LaunchRequest

TASK = "arn:aws:ecs:us-east-1:123456789012:task/dagy/{}"
POOL = "us-east-1/dagy|FARGATE"


@dataclass(frozen=True)
class Answer:
    """What a command said and exited with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def dagy_queue(*arguments: str) -> Answer:
    """Run the command line as a pipe sees it."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return Answer(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def listed(*arguments: str) -> list[str]:
    """Return the ids that a list has."""
    return [row.get("run_id") or row["batch_id"] for row in dagy_queue("list", "--json", *arguments).json]


def failed(summary: str = "the container failed (exit code 3)", **more: Any) -> dict[str, Any]:
    """Return the outcome of a run that failed."""
    return {"kind": "failed", "summary": summary, "resolution": "mend it", "exit_code": 3, **more}


def record(run_id: str, **values: Any) -> RunRecord:
    """Return the record of a run."""
    usual: dict[str, Any] = {
        "run_id": run_id,
        "status": "FAILED",
        "phase": "FAILED",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "completed_at": datetime(2026, 1, 1, tzinfo=UTC),
        "org_id": "acme",
        "flow_name": "etl",
        "correlation_id": "old",
        "error_message": "no luck",
        "outcome": failed(),
    }
    return RunRecord(**{**usual, **values})


class Records(dict[str, RunRecord]):
    """A record of runs in the place of DynamoDB; it has them in pages of one."""

    pages = 0
    """How many were read."""

    def query(self, org_id: str, *, wanted: RunFilter, after: str, **asked: str) -> Any:
        """Return a page."""
        self.pages += 1
        asked = {"org_id": org_id, **{name: value for name, value in asked.items() if value}}
        runs = [run for run in self.values() if all(getattr(run, name) == value for name, value in asked.items())]
        runs = [run for run in runs if not wanted.statuses or run.status in wanted.statuses]
        if "batch_id" in asked:
            runs.sort(key=lambda run: run.shard or 0)
        elif "correlation_id" in asked:
            runs.sort(key=lambda run: run.run_id)
        else:
            runs.sort(key=lambda run: run.created_at, reverse=True)
        left = list(islice((run for run in runs[int(after or 0) :] if run.batch_id not in wanted.not_of), 1))
        return SimpleNamespace(runs=left, after=str(runs.index(left[0]) + 1) if left else "")

    def every_run(self, ask: Any) -> Iterator[RunRecord]:
        """Yield all that is asked for."""
        after = ""
        while (page := ask(after)).runs:
            yield from page.runs
            after = page.after


class World:
    """A ledger with runs and batches in it, none of which anybody dispatches."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.runs, self.batches = publisher.runs, publisher.batches

    def published(self, **fields: Any) -> str:
        """Publish a run."""
        asked = {"flow_name": "etl", "org_id": "acme", **fields}
        return DagLauncher().enqueue(LaunchRequest(**asked)).run_id

    def held(self, **fields: Any) -> str:
        """Publish a run and park it."""
        run_id = self.published(**fields)
        request = LaunchRequest(**{"flow_name": "etl", "org_id": "acme", **fields})
        values = {**to_json(request), "correlation_id": request.correlation_id or run_id}
        message = json.dumps({"headers": {"id": run_id}})
        continuation = Continuation("resumed", message)
        place = Place(pool=POOL, org=request.org_id)
        self.runs.park(run_id, request=values, continuation=continuation, place=place, expires=None, about={})
        return run_id

    def ended(self, status: RunStatus = RunStatus.SUCCEEDED, outcome: Any = None, **fields: Any) -> str:
        """Bring a run to its end."""
        run_id = self.held(**fields)
        self.end(run_id, status, outcome)
        return run_id

    def end(self, run_id: str, status: RunStatus, outcome: Any = None) -> None:
        """End a run that waits."""
        attempt_id = AttemptId(run_id, 1)
        told = outcome or {"kind": status.value.lower(), "summary": status.value.lower()}
        self.runs.complete(attempt_id, {"outcome": told}, TASK.format(run_id))
        assert self.runs.finish(attempt_id, status, told)

    def batch(self, shards: int, **fields: Any) -> BatchHandle:
        """Publish a batch and enter its shards."""
        asked = {"flow_name": "sales", "org_id": "acme", **fields}
        handle = fan_out(shards=[{"n": n} for n in range(shards)], batch_id=new_id(), **asked)
        template = Continuation("resumed", json.dumps({"id": "@dagy:id@", "attempt": "@dagy:attempt@"}))
        self.batches.prepare(handle.batch_id, template, Place(pool=POOL, org=asked["org_id"]))
        entered = [(shard_id(handle.batch_id, n), {"parameters": {"n": n}}) for n in range(shards)]
        self.batches.enter_shards(handle.batch_id, 0, entered)
        return handle

    def forget(self, run_id: str) -> None:
        """Have the ledger forget a run, as it does some hours after one has succeeded."""
        redis = self.publisher.redis
        assert redis.client.delete(redis.key("run", run_id))

    def end_shard(self, batch: BatchHandle, shard: int, status: RunStatus, outcome: Any = None) -> None:
        """End a shard that waits."""
        self.end(shard_id(batch.batch_id, shard), status, outcome)
