"""Batches in the ledger, on a real Redis."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dagy_queue.errors import BatchNotFound
from dagy_queue.ids import shard_id
from dagy_queue.ledger import AdmissionLedger, BatchLedger, Continuation, Phase, RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger.batches import SPEC_CHUNK
from dagy_queue.ledger.runs import Place
from tests.integration.ledger.batches_kit import FIELDS, TEMPLATE, expand, publish

DONE = {"outcome": {"kind": "succeeded", "summary": "ok"}}


@pytest.fixture
def batches(connection: RedisConnection) -> BatchLedger:
    return BatchLedger(connection)


def test_a_batch_is_published_with_one_message(batches: BatchLedger, connection: RedisConnection) -> None:
    batch_id = publish(batches, 3)
    assert connection.client.lrange("fanout", 0, -1) == ["message"]
    assert not batches.publish(batch_id, Continuation("fanout", "message"), deltas=[], fields=FIELDS)
    record = batches.get(batch_id)
    assert (record.total, record.expanded, record.correlation_id) == (3, 0, "batch-7")
    assert batches.counts(batch_id) == {Phase.QUEUED: 3}


def test_the_spec_is_read_from_any_index_in_chunks(batches: BatchLedger) -> None:
    batch_id = publish(batches, SPEC_CHUNK + 10)
    chunks = list(batches.spec_chunks(batch_id, SPEC_CHUNK - 2))
    assert [len(chunk) for chunk in chunks] == [2, 10]
    assert chunks[0][0] == {"parameters": {"n": SPEC_CHUNK - 2}}


def test_a_repeated_chunk_enters_no_shard_twice(batches: BatchLedger, connection: RedisConnection) -> None:
    batch_id = publish(batches, 3)
    expand(batches, batch_id, 3)
    expand(batches, batch_id, 3)
    assert batches.counts(batch_id) == {Phase.HELD: 3}
    assert len(AdmissionLedger(connection).lease(10, 60).grants) == 3


def test_shards_are_granted_in_order_with_what_differs(batches: BatchLedger, connection: RedisConnection) -> None:
    batch_id = publish(batches, 3)
    expand(batches, batch_id, 3)
    grants = AdmissionLedger(connection).lease(10, 60).grants
    assert [(g.shard, g.request, g.batch_id) for g in grants] == [
        (i, {"parameters": {"n": i}}, batch_id) for i in range(3)
    ]


def test_a_shard_resumes_from_the_template_of_its_batch(batches: BatchLedger, connection: RedisConnection) -> None:
    batch_id = publish(batches, 2)
    expand(batches, batch_id, 2)
    grant = AdmissionLedger(connection).lease(2, 60).grants[1]
    RunLedger(connection).complete(grant.attempt_id, DONE)
    (message,) = (json.loads(m) for m in connection.client.lrange("queue", 0, -1))
    run_id = shard_id(batch_id, 1)
    assert message == {"id": run_id, "group_index": 1, "dagy_attempt": 1, "tag": f"{run_id}/1/1"}


def test_a_shard_knows_its_correlation_org_and_flow(batches: BatchLedger, connection: RedisConnection) -> None:
    batch_id = publish(batches, 2)
    expand(batches, batch_id, 2)
    entry = RunLedger(connection).get(shard_id(batch_id, 1))
    assert (entry.correlation_id, entry.org_id, entry.flow_name, entry.shard) == ("batch-7:1", "acme", "f", 1)


@pytest.mark.parametrize(
    ("delta", "correlation", "units"),
    [
        ({"parameters": {"correlation_id": "a parameter", "cpu": 4, "workload_profile": []}}, "batch-7:0", 256),
        ({"correlation_id": None, "cpu": None, "workload_profile": None}, "batch-7:0", 256),
        ({"correlation_id": "", "cpu": "2048"}, "batch-7:0", 2048),
        ({"correlation_id": "own", "cpu": ".5 vCPU"}, "own", 512),
        ({"workload_profile": "medium"}, "batch-7:0", 1024),
    ],
)
def test_what_a_shard_has_of_its_own_is_read_as_it_is_meant(
    batches: BatchLedger, connection: RedisConnection, delta: dict[str, Any], correlation: str, units: int
) -> None:
    batch_id = publish(batches, 1)
    batches.prepare(batch_id, Continuation("queue", TEMPLATE), Place(pool="dagy|FARGATE", org="acme", cpu=256))
    assert batches.enter_shards(batch_id, 0, [(shard_id(batch_id, 0), delta)]) == 1
    (grant,) = AdmissionLedger(connection).lease(1, 60).grants
    assert grant.request == delta
    assert RunLedger(connection).get(shard_id(batch_id, 0)).correlation_id == correlation
    assert connection.client.hget(connection.key("slots", "dagy"), "cpu") == str(units)


@pytest.mark.parametrize(("reason", "told"), [("", "cancelled"), ("half a \ud83d pair", r"half a \ud83d pair")])
def test_a_batch_is_cancelled_whatever_the_reason(batches: BatchLedger, reason: str, told: str) -> None:
    batch_id = publish(batches, 2, canceller="message")
    assert batches.cancel(batch_id, reason) == "cancelled"
    assert batches.get(batch_id).cancel_reason == told


def test_counts_follow_every_shard_and_the_batch_expires_once_it_is_ended(
    batches: BatchLedger, connection: RedisConnection
) -> None:
    batch_id = publish(batches, 2)
    expand(batches, batch_id, 2)
    runs = RunLedger(connection)
    first, second = AdmissionLedger(connection).lease(2, 60).grants
    assert batches.counts(batch_id) == {Phase.SUBMITTING: 2}
    for grant, status in ((first, RunStatus.SUCCEEDED), (second, RunStatus.FAILED)):
        assert connection.client.ttl(f"dagy:batch:{batch_id}") == -1
        runs.complete(grant.attempt_id, DONE)
        runs.finish(grant.attempt_id, status)
    assert batches.counts(batch_id) == {Phase.SUCCEEDED: 1, Phase.FAILED: 1}
    assert [batches.end(batch_id), batches.end(batch_id)] == [True, False]
    assert connection.client.ttl(f"dagy:batch:{batch_id}") > 0


def test_an_unknown_batch_is_not_found(batches: BatchLedger) -> None:
    for read in (batches.get, batches.counts):
        with pytest.raises(BatchNotFound, match="'nobody'"):
            read("nobody")
