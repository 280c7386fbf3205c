"""The HTTP API as a server, on the whole stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from dagy_queue.local.free_port import free_port
from dagy_queue.local.stack import LocalStack
from dagy_queue.settings.tokens import hashed
from tests.integration.conftest import ORG
from tests.integration.waiting import eventually

TOKENS = {ORG: [hashed("ours")], "globex": [hashed("theirs")]}


@pytest.fixture(scope="module")
def url(flows: LocalStack) -> str:
    """Where an API of the stack answers."""
    port = free_port()
    child = flows.spawn("api", f"--port={port}", environment={"DAGY_QUEUE__API__TOKENS": json.dumps(TOKENS)})
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return bool(httpx2.get(f"{url}/ready", timeout=10).status_code == 200)
        except httpx2.TransportError:
            return False

    child.wait_until(is_ready, 60, "ready")
    return url


@pytest.fixture
def api(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, headers={"Authorization": "Bearer ours"}, timeout=30) as client:
        yield client


@pytest.fixture
def stranger(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, headers={"Authorization": "Bearer theirs"}, timeout=30) as client:
        yield client


def launched(api: httpx2.Client, flow: str, parameters: dict[str, Any], **more: Any) -> str:
    answer = api.post(f"/flows/{flow}/runs", json={"parameters": parameters, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


def ended(api: httpx2.Client, path: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get(path).json()
        return None if found.get("status") in ("QUEUED", "RUNNING") or found.get("is_over") is False else found

    return eventually(look, f"{path} is over", 60)


def test_a_run_goes_its_whole_way_over_http(api: httpx2.Client, stranger: httpx2.Client) -> None:
    run_id = launched(api, "echo", {"value": {"rows": 3}}, correlation_id="req-12345")
    status = ended(api, f"/runs/{run_id}")
    assert (status["status"], status["error_message"], status["correlation_id"]) == ("SUCCEEDED", None, "req-12345")
    assert status["task_arn"].startswith("arn:aws:ecs:")
    assert status["started_at"] <= status["completed_at"]
    assert api.get(f"/runs/{run_id}/result").json() == {"run_id": run_id, "result": {"rows": 3}}
    assert stranger.get(f"/runs/{run_id}").status_code == 404


def test_a_failure_is_told(api: httpx2.Client) -> None:
    status = ended(api, f"/runs/{launched(api, 'broken', {})}")
    assert status["status"] == "FAILED"
    assert status["error_message"]


def test_a_running_container_is_stopped(api: httpx2.Client, stranger: httpx2.Client) -> None:
    run_id = launched(api, "sleepy", {"seconds": 300})
    eventually(lambda: api.get(f"/runs/{run_id}").json()["status"] == "RUNNING", "the run runs", 60)
    assert stranger.post(f"/runs/{run_id}/cancel").status_code == 404
    assert api.post(f"/runs/{run_id}/cancel", json={"reason": "ordered twice"}).status_code == 202
    assert ended(api, f"/runs/{run_id}")["status"] == "CANCELLED"


def test_a_batch_goes_its_whole_way_over_http(api: httpx2.Client, stranger: httpx2.Client) -> None:
    body = {"flow_name": "echo", "shards": [{"value": n} for n in range(3)], "max_parallel": 2}
    accepted = api.post("/batches", json=body, headers={"Idempotency-Key": "batch-1"}).json()
    again = api.post("/batches", json=body, headers={"Idempotency-Key": "batch-1"}).json()
    assert (accepted, accepted["total"]) == (again, 3)
    path = f"/batches/{accepted['batch_id']}"
    assert ended(api, path)["by_status"] == {"SUCCEEDED": 3}
    assert [shard["result"] for shard in api.get(f"{path}/runs").json()["shards"]] == [0, 1, 2]
    assert stranger.get(path).status_code == 404


def test_the_same_key_sent_again_launches_nothing_more(api: httpx2.Client) -> None:
    key = {"Idempotency-Key": "nightly-2024-03-14"}
    ids = {
        api.post("/flows/echo/runs", json={"parameters": {"value": n}}, headers=key).json()["run_id"] for n in range(3)
    }
    (run_id,) = ids
    ended(api, f"/runs/{run_id}")
    assert api.get(f"/runs/{run_id}/result").json()["result"] == 0
