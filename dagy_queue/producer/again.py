"""Launching once more what a run was asked for: what ``RunHandle.retry`` and ``BatchHandle.retry_failed`` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from celery.canvas import Signature
from kombu.utils.json import loads

from dagy_queue.errors import Problem, RequestInvalid, RunNotFound
from dagy_queue.ids import new_id, shard_correlation
from dagy_queue.ledger.history import HistoryLedger
from dagy_queue.producer.batch import BatchHandle
from dagy_queue.producer.ends import as_it_ends
from dagy_queue.producer.fan_out import policy_of, publish_batch
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.queued import QueuedLaunches
from dagy_queue.producer.run import RunHandle
from dagy_queue.requests import read_request
from dagy_queue.requests.deltas import ShardSpec
from dagy_queue.requests.shards import NUMBER


def launch_again(publisher: Publisher, run_id: str) -> RunHandle:
    """Queue a run that failed or was cancelled once more, under a new id, and return its handle.

    A shard becomes the only one of a batch of its own, so that it is told the number that it had. Raises RunNotFound if
    the ledger no longer has the run, RequestInvalid if it did not end badly, RedisUnavailable.
    """
    for found in HistoryLedger(publisher.redis).snapshots([run_id]):
        status = as_it_ends(found.entry, publisher.app.AsyncResult(run_id)).status
        if not status.ended_badly:
            allowed = f"a run that FAILED or was CANCELLED; this one is {status.value}"
            raise RequestInvalid([Problem("run_id", run_id, allowed)], "retry")
        if found.entry.shard is not None:
            return shards_again(publisher, found.entry.batch_id, [found.entry.shard]).shard(0)
        if not found.request:
            allowed = "a run that a dispatcher had taken; this one ended before, so launch it anew"
            raise RequestInvalid([Problem("run_id", run_id, allowed)], "retry")
        queue, request = QueuedLaunches(publisher=publisher), read_request(found.request)
        if found.unfilled:
            return queue.publish_again(new_id(), loads(found.unfilled), request)
        return queue.publish(new_id(), request)
    raise RunNotFound(
        f"run {run_id!r} is not in the ledger, which forgets what was asked for some time after a run's end "
        "(redis.failed_ttl, and redis.finished_ttl for one that succeeded): launch it anew"
    )


def shards_again(
    publisher: Publisher,
    batch_id: str,
    shards: Sequence[int],
    *,
    callback: Signature | None = None,
    policies: Mapping[str, Any] | None = None,
) -> BatchHandle:
    """Launch some shards of a batch once more, as a batch of their own.

    They keep their correlation ids and the numbers that they are told. Raises BatchNotFound or RunNotFound if the
    ledger no longer has the batch or one of them, RequestInvalid for the policies, RedisUnavailable.
    """
    batch = publisher.batches.get(batch_id)
    deltas = [
        {
            NUMBER: shard,
            **delta,
            "correlation_id": delta.get("correlation_id") or shard_correlation(batch.correlation_id, shard),
        }
        for shard, delta in zip(shards, publisher.batches.deltas(batch_id, shards), strict=True)
    ]
    policy = policy_of(dict(policies or {}))
    request = read_request(batch.request)
    return publish_batch(publisher, request, ShardSpec.of(deltas), policy=policy, callback=callback)
