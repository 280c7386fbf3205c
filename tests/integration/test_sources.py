"""Shards from grids, files and manifests, end to end."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from celery.exceptions import ChordError

from dagy_queue import (
    BatchHandle,
    ContainerRequest,
    DagLauncher,
    RequestInvalid,
    ResultTimeout,
    fan_out,
    grid,
    lines,
    load_settings,
    manifest,
    shard_range,
)
from dagy_queue.dispatch import expansion, manifests
from dagy_queue.dispatch.services import Services
from dagy_queue.ids import new_id
from dagy_queue.ledger import BatchLedger, Continuation
from dagy_queue.local.stack import LocalStack
from dagy_queue.messaging.app import make_app
from dagy_queue.messaging.names import FAN_OUT_QUEUE
from tests.integration.conftest import ORG, TIMEOUT, app_sig

STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
BAD, GOOD = {"command": ["0", "3"]}, {"command": ["0", "0"]}

Put = Callable[..., str]


@pytest.fixture(autouse=True)
def _stack(flows: LocalStack) -> None:
    """Every test here needs the stack."""


@pytest.fixture
def put(flows: LocalStack) -> Put:
    """Put an object into the stack's S3 and return its URI."""

    def put(name: str, content: bytes) -> str:
        bucket, key = flows.environment["DAGY_ARTIFACT_BUCKET"], f"manifests/{new_id()}/{name}"
        boto3.client("s3", region_name="us-east-1").put_object(Bucket=bucket, Key=key, Body=content)
        return f"s3://{bucket}/{key}"

    return put


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[BatchHandle], None]:
    """Keep the messages of fan-outs from the dispatcher; the result sends a batch's after all."""
    publish = BatchLedger.publish

    def elsewhere(ledger: BatchLedger, batch_id: str, message: Continuation, **parts: Any) -> bool:
        done = publish(ledger, batch_id, replace(message, list_key="nobody"), **parts)
        ledger.connection.client.hset(f"dagy:batch:{batch_id}", "fan_out_queue", message.list_key)
        return done

    monkeypatch.setattr(BatchLedger, "publish", elsewhere)
    return lambda batch: batch._publisher.redis.client.rpoplpush("nobody", FAN_OUT_QUEUE)


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def correlations(results: list[Any]) -> list[int]:
    return [int(result["correlation_id"].rpartition(":")[2]) for result in results]


def test_a_grid_has_a_shard_for_each_combination() -> None:
    batch = fan_out(flow_name="echo", org_id=ORG, shards=grid(value=[1, 2]))
    assert batch.get(timeout=TIMEOUT) == [1, 2]


def test_a_range_has_a_shard_for_each_number() -> None:
    batch = fan_out(flow_name="echo", org_id=ORG, shards=shard_range("value", 1999, 2002))
    assert batch.get(timeout=TIMEOUT) == [1999, 2000, 2001]


def test_a_file_has_a_shard_in_each_line(tmp_path: Path) -> None:
    path = tmp_path / "shards.csv.gz"
    path.write_bytes(gzip.compress(b"value\n1\n\n2\n"))
    batch = fan_out(flow_name="echo", org_id=ORG, shards=lines(path, types={"value": int}))
    assert batch.get(timeout=TIMEOUT) == [1, 2]


def test_a_file_with_a_bad_line_starts_nothing(tmp_path: Path) -> None:
    path, batch_id = tmp_path / "shards.jsonl", new_id()
    path.write_text('{"value": 1}\n{"value": \n')
    with pytest.raises(RequestInvalid, match=r"shards.jsonl\[line 2\]"):
        fan_out(flow_name="echo", org_id=ORG, shards=lines(path), batch_id=batch_id)
    assert not BatchHandle(batch_id)._publisher.redis.client.exists(f"dagy:batch:{batch_id}")


@pytest.mark.parametrize("name", ["shards.jsonl", "shards.jsonl.gz"])
def test_a_manifest_is_read_by_the_dispatcher(put: Put, name: str) -> None:
    content = jsonl([GOOD] * 300)
    uri = put(name, gzip.compress(content) if name.endswith(".gz") else content)
    batch = fan_out(STUB, manifest(uri))
    assert correlations(batch.get(timeout=TIMEOUT)) == list(range(300))
    progress = list(batch.watch())[-1]
    assert (progress.total, progress.done, progress.is_counted, len(batch)) == (300, 300, True, 300)


def test_a_manifest_of_a_flow_has_its_parameters(put: Put) -> None:
    uri = put("shards.csv", b'value,other\n"[1, 2]",x\n\n3,\n')
    with pytest.raises(ChordError, match="other"):
        fan_out(flow_name="echo", org_id=ORG, shards=manifest(uri)).get(timeout=TIMEOUT)
    uri = put("shards.csv", b'\xef\xbb\xbfvalue\r\n"[1, 2]"\r\n3\r\n')
    batch = fan_out(flow_name="echo", org_id=ORG, shards=manifest(uri, types={"value": "json"}))
    assert batch.get(timeout=TIMEOUT) == [[1, 2], 3]


def test_policies_count_the_shards_of_a_manifest(put: Put) -> None:
    uri = put("shards.jsonl", jsonl([GOOD, BAD, GOOD, GOOD]))
    batch = fan_out(STUB, manifest(uri), tolerate="25%", max_parallel=2)
    assert [result.get("failed", False) for result in batch.get(timeout=TIMEOUT)] == [False, True, False, False]
    again = batch.retry_failed(tolerate=1)
    assert len(again.get(timeout=TIMEOUT)) == 1


def test_shards_of_a_manifest_are_told_as_they_end(put: Put) -> None:
    batch = fan_out(STUB, manifest(put("shards.jsonl", jsonl([GOOD] * 5))))
    assert sorted(shard.index for shard in batch.as_completed(timeout=TIMEOUT)) == list(range(5))


def test_a_manifest_with_bad_lines_fails_its_batch_and_runs_none_of_it(put: Put) -> None:
    uri = put("shards.jsonl", jsonl([GOOD] * 600) + b'oops\n{"command": 1}\n{"cluster": "other"}\n')
    batch = fan_out(STUB, manifest(uri), tolerate="100%")
    with pytest.raises(ChordError) as caught:
        batch.get(timeout=TIMEOUT)
    assert "none of its shards was launched" in str(caught.value)
    assert all(f"{uri}[line {line}" in str(caught.value) for line in (601, 602, 603))
    with pytest.raises(ChordError, match="cannot be run"):
        list(batch.results())
    assert (batch.progress().is_over, batch.progress().total) == (True, 0)


def test_a_manifest_that_is_not_there_fails_its_batch(put: Put) -> None:
    there = put("shards.jsonl", b"")
    for uri in (there.replace("shards", "others"), "s3://no-such-bucket-anywhere/shards.jsonl"):
        with pytest.raises(ChordError, match=r"cannot be read: .*NoSuch"):
            fan_out(STUB, manifest(uri)).get(timeout=TIMEOUT)


def test_iterating_over_a_manifest_that_cannot_be_run_says_so(flows: LocalStack) -> None:
    batch = fan_out(STUB, manifest(f"s3://{flows.environment['DAGY_ARTIFACT_BUCKET']}/nothing/here.jsonl"))
    for iterate in (lambda: list(batch.as_completed(timeout=TIMEOUT)), lambda: list(batch.results())):
        with pytest.raises(ChordError, match=r"here\.jsonl"):
            iterate()


def test_an_error_callback_hears_of_a_manifest_that_cannot_be_run(
    application: object, noted: Callable[[str], list[str]]
) -> None:
    callback = app_sig("identity").on_error(app_sig("note_failure", "manifest-failed"))
    with pytest.raises(ChordError):
        fan_out(STUB, manifest("s3://no-such-bucket-anywhere/shards.csv"), callback=callback).get(timeout=TIMEOUT)
    assert noted("manifest-failed")


def test_an_empty_manifest_is_an_empty_batch(put: Put) -> None:
    for name in ("shards.jsonl", "shards.csv"):
        assert fan_out(STUB, manifest(put(name, b""))).get(timeout=TIMEOUT) == []


def test_a_manifest_keeps_to_the_limit_of_the_cluster(put: Put, flows: LocalStack) -> None:
    limited = DagLauncher(load_settings(redis={"url": flows.redis_url}, ecs={"max_task_count": 3}))
    with pytest.raises(ChordError, match="at most 3 shards"):
        fan_out(STUB, manifest(put("shards.jsonl", jsonl([GOOD] * 4))), launcher=limited).get(timeout=TIMEOUT)


def test_an_expansion_that_is_redelivered_half_way_goes_on_there(
    put: Put, flows: LocalStack, held: Callable[[BatchHandle], None]
) -> None:
    rows = [{"value": number} for number in range(60)]
    batch = fan_out(flow_name="echo", org_id=ORG, shards=manifest(put("shards.jsonl", jsonl(rows))))
    assert (batch.progress().is_counted, batch.progress().is_over, len(batch)) == (False, False, 0)
    with pytest.raises(ResultTimeout, match="all shards"):
        list(batch.as_completed(timeout=0))

    config = flows.settings()
    services = Services.build(config, make_app(config))
    counted = manifests.count(services, services.batches.get(batch.batch_id))
    assert (counted.total, counted.expanded, counted.is_entered) == (60, 0, False)
    expansion._prepare(services, counted, batch.batch_id)
    expansion._enter_chunk(services, batch.batch_id, 0, next(manifests.delta_chunks(services, counted))[:25])
    assert services.batches.get(batch.batch_id).expanded == 25

    held(batch)
    assert batch.get(timeout=TIMEOUT) == list(range(60))


def test_a_batch_can_be_cancelled_while_its_manifest_is_read(put: Put, held: Callable[[BatchHandle], None]) -> None:
    batch = fan_out(STUB, manifest(put("shards.jsonl", jsonl([{"command": ["3600", "0"]}] * 5))))
    batch.cancel("not wanted")
    held(batch)
    with pytest.raises(ChordError, match=r"5 of 5 shards were cancelled \(not wanted\)"):
        batch.get(timeout=TIMEOUT)
