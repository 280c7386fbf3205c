"""Batches for the ledger's tests: published and expanded as the producer and the dispatcher do it."""

from __future__ import annotations

import json

from dagy_queue.ids import new_id, shard_id
from dagy_queue.ledger import BatchLedger, Continuation
from dagy_queue.ledger.runs import Place

TEMPLATE = json.dumps(
    {"id": "@dagy:id@", "group_index": "@dagy:shard@", "dagy_attempt": "@dagy:attempt@", "tag": "@dagy:tag@"}
)
FIELDS = {
    "request": json.dumps({"org_id": "acme", "flow_name": "f"}),
    "callback": "{}",
    "callback_id": "cb",
    "correlation": "batch-7",
    "org": "acme",
    "flow": "f",
}


def publish(batches: BatchLedger, shards: int, **fields: str) -> str:
    batch_id = new_id()
    deltas = [{"parameters": {"n": n}} for n in range(shards)]
    assert batches.publish(batch_id, Continuation("fanout", "message"), deltas=deltas, fields={**FIELDS, **fields})
    return batch_id


def expand(batches: BatchLedger, batch_id: str, shards: int) -> None:
    batches.prepare(batch_id, Continuation("queue", TEMPLATE), Place(pool="dagy|FARGATE", org="acme"))
    batches.enter_shards(batch_id, 0, [(shard_id(batch_id, i), {"parameters": {"n": i}}) for i in range(shards)])
