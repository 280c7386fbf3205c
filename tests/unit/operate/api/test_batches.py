from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dagy_queue.ids import shard_id
from dagy_queue.ledger import BatchLedger, RedisConnection
from dagy_queue.operate.api.fan_outs import read_fan_out
from dagy_queue.producer.batch import callback_id
from dagy_queue.requests.sources import Manifest
from dagy_queue.settings import load_settings
from tests.unit.operate.api.conftest import ACME, TOKENS, MakeClient, publisher_of

BODY: dict[str, Any] = {"org_id": "acme", "flow_name": "process_shard", "shards": [{"shard": "0"}, {"shard": "1"}]}


def test_a_fan_out_is_one_message_and_its_progress_is_counted(client: TestClient, connection: RedisConnection) -> None:
    answer = client.post("/batches", json={**BODY, "correlation_id": "batch-req-12345", "max_parallel": 1})
    accepted = answer.json()
    batch_id = accepted["batch_id"]
    assert (answer.status_code, accepted) == (
        202,
        {"batch_id": batch_id, "correlation_id": "batch-req-12345", "total": 2, "success": True},
    )
    assert connection.client.llen("dagy.fanout") == 1
    found = client.get(f"/batches/{batch_id}").json()
    assert found.pop("created_at")
    assert found == {
        "batch_id": batch_id,
        "org_id": "acme",
        "flow_name": "process_shard",
        "correlation_id": "batch-req-12345",
        "total": 2,
        "is_counted": True,
        "done": 0,
        "failed": 0,
        "is_over": False,
        "by_status": {"QUEUED": 2},
        "error_message": None,
    }


def test_shards_are_paged(client: TestClient) -> None:
    shards = [{"n": n} for n in range(5)]
    batch_id = client.post("/batches", json={**BODY, "shards": shards}).json()["batch_id"]
    page = client.get(f"/batches/{batch_id}/runs?first=3&count=10").json()
    assert page == {
        "batch_id": batch_id,
        "shards": [
            {"index": n, "run_id": shard_id(batch_id, n), **dict.fromkeys(("status", "result", "error_message"))}
            | {"is_kept": True}
            for n in (3, 4)
        ],
    }


@pytest.mark.parametrize("query", ["first=-1", "count=0", "count=1001", "first=x"])
def test_a_page_has_bounds(client: TestClient, query: str) -> None:
    batch_id = client.post("/batches", json=BODY).json()["batch_id"]
    answer = client.get(f"/batches/{batch_id}/runs?{query}")
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"] == query.partition("=")[0]


def test_shards_without_a_difference_are_counted(client: TestClient) -> None:
    body = {"org_id": "acme", "flow_name": "etl", "task_count": 7}
    assert client.post("/batches", json=body).json()["total"] == 7


def test_a_batch_is_cancelled_with_its_reason(client: TestClient) -> None:
    batch_id = client.post("/batches", json=BODY).json()["batch_id"]
    answer = client.post(f"/batches/{batch_id}/cancel", json={"reason": "not today"})
    assert (answer.status_code, answer.json()) == (202, {"id": batch_id, "status": "cancelling", "success": True})
    assert client.get(f"/batches/{batch_id}").json()["error_message"] == "not today"


@pytest.mark.parametrize("batch_id", ["5f0c7f7e-0000-4000-8000-000000000000", "no uuid"])
def test_a_batch_that_nobody_knows_is_not_found(client: TestClient, batch_id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/runs"), ("POST", "/cancel")):
        answer = client.request(method, f"/batches/{batch_id}{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, "Batch not found")


def test_the_same_key_is_the_same_batch(client: TestClient, connection: RedisConnection) -> None:
    ids = {client.post("/batches", json=BODY, headers={"Idempotency-Key": "7"}).json()["batch_id"] for _ in range(2)}
    assert len(ids) == connection.client.llen("dagy.fanout") == 1


@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")  # Celery 5.7 does, redis-py 8 warns
def test_the_key_of_a_batch_that_is_forgotten_is_refused_while_its_result_is_kept(
    client: TestClient, connection: RedisConnection
) -> None:
    key = {"Idempotency-Key": "7"}
    batch_id = client.post("/batches", json=BODY, headers=key).json()["batch_id"]
    publisher_of(client).app.backend.store_result(callback_id(batch_id), [1, 2], "SUCCESS")
    connection.client.delete(connection.key("batch", batch_id))
    answer = client.post("/batches", json=BODY, headers=key)
    [problem] = answer.json()["problems"]
    assert (answer.status_code, problem["field"], problem["value"]) == (422, "Idempotency-Key", "7")
    assert connection.client.llen("dagy.fanout") == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"shards": [{"a": 1}, 5]}, "shards[1]"),
        ({"shards": {"a": 1}}, "shards"),
        ({"shards": "abc"}, "shards"),
        ({"shards": None}, "shards"),
        ({"task_count": 3}, "task_count"),
        ({"shards": [{}] * 11}, "shards"),
        ({"tolerate": "200%"}, "tolerate"),
        ({"max_paralel": 3}, "max_paralel"),
        ({"callback": "app.task"}, "callback"),
        ({"launcher": 1}, "launcher"),
        ({"request": {}}, "request"),
        ({"batch_id": "x"}, "batch_id"),
        ({"flow_name": ""}, "flow_name"),
        ({"cpu": 3}, "cpu"),
        ({"manifest": "s3://bucket/shards.csv"}, "manifest"),
    ],
)
def test_what_is_wrong_is_told_by_name_and_nothing_is_sent(
    make_client: MakeClient, connection: RedisConnection, change: dict[str, Any], field: str
) -> None:
    client = make_client(api={"max_shards": 10})
    answer = client.post("/batches", json={**BODY, **change})
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["problems"]] == [field]
    assert connection.client.dbsize() == 0


def test_a_number_of_shards_that_nobody_could_count_is_refused_at_once(client: TestClient) -> None:
    answer = client.post("/batches", json={"org_id": "acme", "flow_name": "etl", "task_count": 10**12})
    assert answer.json()["problems"][0]["allowed"] == "at most 10000 shards (DAGY_QUEUE__API__MAX_SHARDS)"


def test_a_manifest_is_read_with_the_dispatchers_permissions_so_tokens_alone_do_not_allow_it(
    make_client: MakeClient,
) -> None:
    body = {"flow_name": "etl", "manifest": "s3://bucket/shards.csv"}
    answer = make_client(api={"tokens": TOKENS}).post("/batches", json=body, headers=ACME)
    assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, "manifest")
    allowing = make_client(api={"tokens": TOKENS, "extra_fields": ["manifest"]})
    answer = allowing.post("/batches", json=body, headers=ACME)
    assert (answer.status_code, answer.json()["total"]) == (202, 0)
    progress = allowing.get(f"/batches/{answer.json()['batch_id']}", headers=ACME).json()
    assert (progress["is_counted"], progress["is_over"]) == (False, False)


def test_a_body_is_read_into_what_fan_out_takes() -> None:
    body = {"flow_name": "etl", "manifest": "s3://b/k.jsonl", "fail_fast": True, "cpu": 512, "max_fail_count": 2}
    found = read_fan_out(body, load_settings().api, trusted=True)
    assert isinstance(found.shards, Manifest)
    assert (found.flow_name, found.shards.uri) == ("etl", "s3://b/k.jsonl")
    assert found.fields == {"flow_name": "etl", "fail_fast": True, "cpu": 512, "max_fail_count": 2}


def test_the_trigger_and_the_policies_are_kept_with_the_batch(client: TestClient, connection: RedisConnection) -> None:
    batch_id = client.post("/batches", json={**BODY, "tolerate": "50%", "timeout": "1h"}).json()["batch_id"]
    fields = connection.client.hgetall(f"dagy:batch:{batch_id}")
    assert json.loads(fields["policy"]) == {"tolerate": "50%", "timeout": 3600.0}
    assert json.loads(fields["request"])["trigger_source"] == "api"


def test_a_batch_whose_manifest_cannot_be_run_has_no_shards_to_look_at(
    client: TestClient, connection: RedisConnection
) -> None:
    asked = {"org_id": "acme", "flow_name": "process_shard", "manifest": "s3://bucket/shards.jsonl"}
    batch_id = client.post("/batches", json=asked).json()["batch_id"]
    assert client.get(f"/batches/{batch_id}/runs").json()["shards"] == []
    BatchLedger(connection).refuse(batch_id, "line 7 is no JSON")
    answer = client.get(f"/batches/{batch_id}/runs")
    assert (answer.status_code, answer.json()) == (409, {"error": "the batch cannot be run: line 7 is no JSON"})
    assert client.get(f"/batches/{batch_id}").json()["is_over"]


def test_an_api_that_reads_one_org_alone_has_no_batches_of_others(client: TestClient, make_client: MakeClient) -> None:
    batch_id = client.post("/batches", json=BODY).json()["batch_id"]
    others = make_client(records={"org_id": "globex"})
    for answer in (
        others.get(f"/batches/{batch_id}"),
        others.get(f"/batches/{batch_id}/runs"),
        others.post(f"/batches/{batch_id}/cancel"),
    ):
        assert (answer.status_code, answer.json()["error"]) == (404, "Batch not found")
    assert make_client(records={"org_id": "acme"}).get(f"/batches/{batch_id}").status_code == 200
