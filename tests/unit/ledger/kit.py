"""Runs in the ledger, brought to where a test wants them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import AdmissionLedger, Continuation, Grant, RedisConnection, RunLedger
from dagy_queue.ledger.runs import Place
from tests.unit.kit import TASK_ARN

RESUMED = "resumed"
"""The list that the continuations of these runs go to."""


def parked_run(
    connection: RedisConnection,
    run_id: str,
    request: Mapping[str, Any] | None = None,
) -> AttemptId:
    """Park a run."""
    message = {"headers": {"id": run_id, "dagy_attempt": "@dagy:attempt@", "retries": "@dagy:retries@"}}
    RunLedger(connection).park(
        run_id,
        request=request or {"kind": "flow", "org_id": "acme", "flow_name": "etl", "correlation_id": run_id},
        continuation=Continuation(RESUMED, json.dumps(message)),
        place=Place(pool="dagy|FARGATE", org="acme"),
        expires=None,
        about={"org": "acme", "flow": "etl", "correlation": run_id},
    )
    return AttemptId(run_id, 1)


def granted_run(connection: RedisConnection, run_id: str, request: Mapping[str, Any] | None = None) -> Grant:
    """Park a run and lease it."""
    parked_run(connection, run_id, request)
    (grant,) = AdmissionLedger(connection).lease(1, 60).grants
    return grant


def launched_run(connection: RedisConnection, run_id: str) -> AttemptId:
    """Bring a run to SUBMITTED."""
    attempt_id = granted_run(connection, run_id).attempt_id
    AdmissionLedger(connection).launched(attempt_id, TASK_ARN)
    return attempt_id
