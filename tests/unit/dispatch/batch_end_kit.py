"""Batches that are about to end: expanded, and their shards ended as a test wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import states

from dagy_queue.dispatch import expansion
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import RunFailed
from dagy_queue.ids import AttemptId, shard_id
from dagy_queue.ledger import RunStatus
from dagy_queue.producer.batch import BatchHandle
from dagy_queue.producer.fan_out import fan_out
from dagy_queue.producer.publisher import Publisher
from tests.unit.producer.conftest import on

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}
FAILED = RunFailed("exit code 3", {"kind": "failed", "summary": "exit code 3"})


def expanded(services: Services, shards: int, **options: Any) -> BatchHandle:
    publisher = Publisher.build(services.settings)
    batch = fan_out(**FLOW, shards=[{}] * shards, launcher=on(publisher), **options)
    expansion.expand(services, batch.batch_id, batch.batch_id)
    return batch


def over(services: Services, batch: BatchHandle, results: Mapping[int, Any], most: int = 100) -> None:
    """End shards with these results; one that is an exception has failed."""
    services.admission.lease(most, 60)
    for shard, result in results.items():
        run_id, failed = shard_id(batch.batch_id, shard), isinstance(result, Exception)
        services.app.backend.store_result(run_id, result, states.FAILURE if failed else states.SUCCESS)
        services.runs.complete(AttemptId(run_id, 1), {"outcome": {"kind": "x", "summary": "s"}})
        services.runs.finish(AttemptId(run_id, 1), RunStatus.FAILED if failed else RunStatus.SUCCEEDED)
