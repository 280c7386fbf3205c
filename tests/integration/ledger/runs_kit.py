"""One run in the ledger, parked, launched and told of events: what the tests of runs begin with."""

from __future__ import annotations

import json

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import AdmissionLedger, Continuation, Parked, Phase, RedisConnection, RunLedger
from dagy_queue.ledger.admission import Noted
from dagy_queue.ledger.runs import CeleryState, Expiry, Observation, Place

MESSAGE = json.dumps(
    {"headers": {"id": "r", "dagy_attempt": "@dagy:attempt@", "retries": "@dagy:retries@"}, "tag": "@dagy:tag@"}
)
COMPLETION = {"outcome": {"kind": "succeeded", "summary": "ok"}}
EXPIRED = {"outcome": {"kind": "cancelled", "summary": "expired"}}
ARN = "arn:aws:ecs:us-east-1:1:task/dagy/abc"


def park(
    runs: RunLedger, run_id: str = "r", *, org: str = "acme", priority: int = 0, expires: float | None = None
) -> Parked:
    return runs.park(
        run_id,
        request={"org_id": org},
        continuation=Continuation("queue", MESSAGE.replace('"r"', f'"{run_id}"')),
        place=Place(pool="dagy|FARGATE", org=org, priority=priority),
        expires=None if expires is None else Expiry(expires, EXPIRED),
        state=CeleryState(f"celery-task-meta-{run_id}", "parked", 60),
        about={"org": org, "flow": "f", "correlation": run_id},
    )


def launched(runs: RunLedger, admission: AdmissionLedger, run_id: str = "r") -> AttemptId:
    park(runs, run_id)
    (grant,) = admission.lease(1, 60).grants
    assert admission.launched(grant.attempt_id, ARN) is Noted.NOTED
    return grant.attempt_id


def event(
    attempt_id: AttemptId, version: int, phase: Phase | None = None, *, stopped: bool = False, arn: str = ARN
) -> Observation:
    return Observation(
        attempt_id=attempt_id, version=version, task_arn=arn, phase=phase, completion=COMPLETION if stopped else None
    )


def resumed(connection: RedisConnection) -> list[dict]:
    return [json.loads(m) for m in connection.client.lrange("queue", 0, -1)]
