from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Phase, RedisConnection, RunEntry, RunLedger, RunStatus
from dagy_queue.operate.api.app import create_app
from dagy_queue.producer import RunHandle
from dagy_queue.settings import load_settings
from tests.unit.messaging.conftest import raw
from tests.unit.operate.api.conftest import MakeClient, publisher_of

PATH = "/flows/etl_pipeline/runs"
GUIDE = {"org_id": "acme-corp", "parameters": {"date": "2024-03-14", "source": "s3://bucket/input.csv"}}


def entry(client: TestClient, run_id: str) -> RunEntry:
    return publisher_of(client).runs.get(run_id)


def test_a_launch_is_queued_and_answered_in_the_guides_shape(client: TestClient, connection: RedisConnection) -> None:
    answer = client.post(PATH, json=GUIDE)
    run_id = answer.json()["run_id"]
    assert (answer.status_code, answer.json()) == (
        202,
        {"run_id": run_id, "task_arn": None, "correlation_id": run_id, "success": True},
    )
    found = entry(client, run_id)
    assert (found.phase, found.org_id, found.flow_name) == (Phase.QUEUED, "acme-corp", "etl_pipeline")
    assert raw(connection, "dagy.launch")["headers"]["id"] == run_id


def test_the_audit_trail_says_that_a_run_came_by_http_and_from_where(
    client: TestClient, connection: RedisConnection
) -> None:
    run_id = client.post(PATH, json=GUIDE).json()["run_id"]
    message = raw(connection, "dagy.launch")
    request = json.loads(base64.b64decode(message["body"]))[1]["request"]
    assert message["headers"]["id"] == run_id
    assert (request["trigger_source"], request["triggered_by"]) == ("api", "testclient")
    assert request["parameters"] == GUIDE["parameters"]


def test_the_org_may_also_be_in_the_query(client: TestClient) -> None:
    answer = client.post(f"{PATH}?org_id=initech", json={})
    assert entry(client, answer.json()["run_id"]).org_id == "initech"


def test_the_status_of_a_run_is_the_guides(client: TestClient) -> None:
    run_id = client.post(PATH, json={**GUIDE, "correlation_id": "req-12345"}).json()["run_id"]
    answer = client.get(f"/runs/{run_id}")
    found = answer.json()
    assert answer.status_code == 200
    assert {name: found[name] for name in ("run_id", "flow_name", "status", "started_at", "completed_at")} == {
        "run_id": run_id,
        "flow_name": "etl_pipeline",
        "status": "QUEUED",
        "started_at": None,
        "completed_at": None,
    }
    assert (found["error_message"], found["correlation_id"], found["org_id"]) == (None, "req-12345", "acme-corp")


@pytest.mark.parametrize("run_id", ["0783fbab-9b7f-4193-8961-1f6b5fa4403d", "no such run!", "x" * 300, "%00"])
def test_a_run_that_nobody_knows_is_not_found_in_the_guides_words(client: TestClient, run_id: str) -> None:
    answer = client.get(f"/runs/{run_id}")
    assert (answer.status_code, answer.json()) == (404, {"error": "Run not found"})


def test_a_failed_run_says_why(client: TestClient) -> None:
    run_id = client.post(PATH, json=GUIDE).json()["run_id"]
    end(client, run_id, RunStatus.FAILED, "the container ran out of memory")
    found = client.get(f"/runs/{run_id}").json()
    assert (found["status"], found["error_message"]) == ("FAILED", "the container ran out of memory")
    assert found["completed_at"] is not None
    answer = client.get(f"/runs/{run_id}/result")
    assert (answer.status_code, answer.json()) == (409, {"error": "the run is FAILED and has no result"})


def test_the_result_of_a_run_is_what_its_flow_returned(client: TestClient, connection: RedisConnection) -> None:
    run_id = client.post(PATH, json=GUIDE).json()["run_id"]
    assert client.get(f"/runs/{run_id}/result").status_code == 409
    end(client, run_id, RunStatus.SUCCEEDED)
    assert client.get(f"/runs/{run_id}/result").status_code == 410
    meta = {"task_id": run_id, "status": "SUCCESS", "result": {"rows": [1, "\ud800"]}, "children": []}
    connection.client.set(f"celery-task-meta-{run_id}", json.dumps(meta))
    answer = client.get(f"/runs/{run_id}/result")
    assert (answer.status_code, answer.json()) == (200, {"run_id": run_id, "result": {"rows": [1, "\ud800"]}})


def test_the_same_key_is_the_same_run(client: TestClient, connection: RedisConnection) -> None:
    key = {"Idempotency-Key": "order-17"}
    first, second = (client.post(PATH, json=GUIDE, headers=key).json() for _ in range(2))
    assert first == second
    assert connection.client.llen("dagy.launch") == 1


@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")  # Celery 5.7 does, redis-py 8 warns
def test_the_key_of_a_run_that_is_forgotten_is_refused_while_its_result_is_kept(
    client: TestClient, connection: RedisConnection
) -> None:
    key = {"Idempotency-Key": "order-17"}
    run_id = client.post(PATH, json=GUIDE, headers=key).json()["run_id"]
    publisher_of(client).app.backend.store_result(run_id, "of the first", "SUCCESS")
    connection.client.delete(connection.key("run", run_id))
    answer = client.post(PATH, json=GUIDE, headers=key)
    assert answer.status_code == 422
    [problem] = answer.json()["problems"]
    assert (problem["field"], problem["value"]) == ("Idempotency-Key", "order-17")
    assert "it was used before" in problem["allowed"]
    assert connection.client.llen("dagy.launch") == 1


def test_a_key_means_something_only_within_its_org_and_flow(client: TestClient) -> None:
    key = {"Idempotency-Key": "order-17"}
    ids = {
        client.post(f"/flows/{flow}/runs", json={"org_id": org}, headers=key).json()["run_id"]
        for org in ("acme", "globex")
        for flow in ("etl", "report")
    }
    assert len(ids) == 4


@pytest.mark.parametrize("key", ["", " ", "two words", "x" * 256])
def test_a_key_that_cannot_be_one_is_refused(client: TestClient, key: str) -> None:
    answer = client.post(PATH, json=GUIDE, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("body", "field", "allowed"),
    [
        ({"org_id": "acme", "cpu": 300}, "cpu", "256, 512"),
        ({"parameters": {}}, "org_id", "required"),
        ({"org_id": "acme", "parameters": [1]}, "parameters", "names and their values"),
        ({"org_id": "acme", "paramters": {}}, "paramters", "did you mean parameters?"),
        ({"org_id": "acme", "parameters": {"x": "\ud800"}}, "parameters", ""),
        ({"org_id": 7}, "org_id", "a text"),
        ({"org_id": "acme", "run_id": "mine"}, "run_id", "no such field"),
        ({"org_id": "acme", "flow_name": "other"}, "flow_name", "leave it out"),
        ({"org_id": "acme", "triggered_by": "someone else"}, "triggered_by", "leave it out"),
        ({"org_id": "acme", "kind": "container"}, "kind", "leave it out"),
        ({"org_id": "acme", "task_definition_template": "/etc/passwd"}, "task_definition_template", "as an object"),
    ],
)
def test_a_wrong_field_is_told_with_its_value_and_what_is_allowed(
    client: TestClient, body: dict[str, Any], field: str, allowed: str
) -> None:
    answer = client.post(PATH, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    found = answer.json()
    assert (found["success"], found["error"].startswith("the request has 1 problem")) == (False, True)
    (problem,) = found["problems"]
    assert problem.keys() == {"field", "value", "allowed"}
    assert problem["field"] == field
    assert allowed in problem["allowed"]


def test_a_number_that_json_does_not_have_is_told_as_a_text(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post(PATH, content=b'{"org_id": "acme", "parameters": {"n": [NaN, 1e999]}}', headers=headers)
    found = json.loads(answer.content, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (answer.status_code, found["problems"][0]["value"]) == (422, {"n": ["nan", "inf"]})


def test_a_name_that_no_flow_can_have_is_refused(client: TestClient) -> None:
    answer = client.post("/flows/..etl/runs", json=GUIDE)
    assert answer.json()["problems"][0]["field"] == "flow_name"


def test_a_waiting_run_is_cancelled_with_its_reason(client: TestClient) -> None:
    run_id = client.post(PATH, json=GUIDE).json()["run_id"]
    answer = client.post(f"/runs/{run_id}/cancel", json={"reason": "ordered twice"})
    assert (answer.status_code, answer.json()) == (202, {"id": run_id, "status": "QUEUED", "success": True})
    assert entry(client, run_id).cancel_reason == "ordered twice"


def test_a_cancellation_needs_no_body_and_may_be_repeated(client: TestClient) -> None:
    run_id = client.post(PATH, json=GUIDE).json()["run_id"]
    assert client.post(f"/runs/{run_id}/cancel").status_code == 202
    end(client, run_id, RunStatus.CANCELLED)
    assert client.post(f"/runs/{run_id}/cancel").json()["status"] == "CANCELLED"


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED])
def test_a_run_that_has_ended_is_not_cancelled(client: TestClient, status: RunStatus) -> None:
    run_id = client.post(PATH, json=GUIDE).json()["run_id"]
    end(client, run_id, status)
    answer = client.post(f"/runs/{run_id}/cancel")
    assert (answer.status_code, answer.json()) == (
        409,
        {"error": f"the run has ended: it is {status}", "success": False},
    )


@pytest.mark.parametrize("body", [{"reason": ""}, {"reason": 5}, {"reason": "x" * 501}, {"why": "so"}])
def test_a_reason_is_a_text(client: TestClient, body: dict[str, Any]) -> None:
    run_id = client.post(PATH, json=GUIDE).json()["run_id"]
    answer = client.post(f"/runs/{run_id}/cancel", json=body)
    assert answer.status_code == 422
    assert entry(client, run_id).cancel_reason == ""


def test_a_reason_may_have_half_of_a_surrogate_pair(client: TestClient) -> None:
    run_id = client.post(PATH, json=GUIDE).json()["run_id"]
    headers = {"content-type": "application/json"}
    assert client.post(f"/runs/{run_id}/cancel", content=rb'{"reason": "\ud800"}', headers=headers).status_code == 202
    assert entry(client, run_id).cancel_reason == r"\ud800"


def test_an_unknown_run_is_not_cancelled(client: TestClient) -> None:
    assert client.post("/runs/nobody/cancel").json() == {"error": "Run not found", "success": False}


def test_in_direct_mode_there_is_no_queue_to_cancel_in(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(launch={"mode": "direct"})
    status = {"status": "RUNNING"}
    app: Any = client.app
    monkeypatch.setattr(type(app.state.desk.launcher), "get_run_status", lambda *_a, **_o: status)
    assert client.post("/runs/some/cancel").status_code == 501
    assert client.post("/batches", json={"flow_name": "etl", "shards": [{}]}).status_code == 501
    assert client.get("/ready").status_code == 200


def test_nothing_is_connected_to_before_the_first_request() -> None:
    create_app(load_settings(redis={"url": "redis://127.0.0.1:1/0"}))


def end(client: TestClient, run_id: str, status: RunStatus, summary: str = "") -> None:
    """End a run as a dispatcher does."""
    runs: RunLedger = publisher_of(client).runs
    runs.claim(run_id)
    runs.finish(AttemptId(run_id, entry(client, run_id).attempt), status, {"summary": summary})
    assert RunHandle(run_id, publisher_of(client)).entry().status is status
