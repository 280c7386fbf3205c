"""What comes over HTTP before it is a launch: bodies of any size and form; and what goes back when things break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dagy_queue.errors import (
    AwsCapacity,
    AwsError,
    AwsRefused,
    AwsThrottled,
    AwsUnavailable,
    BatchNotFound,
    DagyQueueError,
    FlowNotFound,
    Problem,
    RedisUnavailable,
    RequestInvalid,
    RunNotFound,
    SettingsInvalid,
)
from dagy_queue.local.free_port import free_port
from dagy_queue.operate.api import failures, schemas
from dagy_queue.operate.api.answers import RunStatusAnswer
from dagy_queue.operate.api.bodies import OPEN_FIELDS
from dagy_queue.operate.api.failures import failure_of
from dagy_queue.producer import DagLauncher, RunStatusReport
from dagy_queue.requests import LaunchRequest
from tests.unit.operate.api.conftest import MakeClient

RUNS = "/flows/etl/runs"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b"[" * 100_000, b"1" * 5000, b"null"])
def test_a_body_that_is_no_json_object_is_a_bad_request(client: TestClient, body: bytes) -> None:
    answer = client.post(RUNS, content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the body is no JSON")


def test_a_form_of_a_page_is_no_launch(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = client.post(RUNS, content=b'{"org_id": "acme"}', headers={"Content-Type": kind})
        assert answer.status_code == 415
    assert (
        client.post(RUNS, content=b"{}", headers={"Content-Type": "Application/JSON; charset=utf-8"}).status_code == 422
    )


def test_a_body_has_a_size(make_client: MakeClient) -> None:
    client = make_client(api={"max_body": 1024})

    def parts() -> Iterator[bytes]:
        for _ in range(1000):
            yield b" " * 100

    for content in (b" " * 1025, parts()):
        answer = client.post(RUNS, content=content, headers=JSON)
        assert (answer.status_code, answer.json()["error"]) == (
            413,
            "a request may have 1024 bytes (DAGY_QUEUE__API__MAX_BODY)",
        )


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    body=st.dictionaries(
        st.sampled_from(sorted({*LaunchRequest.model_fields, "shards", "manifest", "tolerate", "timeout"})) | st.text(),
        JSON_VALUES,
        max_size=4,
    )
)
@pytest.mark.parametrize("path", [RUNS, "/batches"])
def test_whatever_is_sent_is_accepted_or_refused_but_breaks_nothing(
    client: TestClient, path: str, body: dict[str, Any]
) -> None:
    import json

    answer = client.post(path, content=json.dumps(body), headers=JSON)
    assert answer.status_code in (202, 422), answer.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestInvalid([Problem("cpu", 3, "256")]), 422),
        (RequestInvalid("no problems"), 422),
        (FlowNotFound("no flow etl"), 404),
        (RunNotFound("x"), 404),
        (BatchNotFound("x"), 404),
        (RedisUnavailable("redis://10.0.0.7 cannot be reached"), 503),
        (AwsThrottled("slow down"), 503),
        (AwsCapacity("no room"), 503),
        (AwsUnavailable("no answer"), 503),
        (AwsError("what"), 503),
        (AwsRefused("account 123456789012 may not"), 502),
        (SettingsInvalid("DAGY_REDIS_URL"), 500),
        (DagyQueueError("anything"), 500),
    ],
)
def test_every_error_has_its_answer(error: DagyQueueError, status: int) -> None:
    failure = failure_of(error)
    assert failure.status == status
    assert ("Retry-After" in failure.headers) == (status == 503)
    if status >= 500:
        assert str(error) not in failure.error


def test_without_redis_it_lives_but_is_not_ready_and_says_when_to_come_again(make_client: MakeClient) -> None:
    client = make_client(redis={"url": f"redis://user:hunter2@127.0.0.1:{free_port()}/0", "socket_timeout": 1})
    assert client.get("/health").json() == {"status": "ok"}
    for answer in (client.get("/ready"), client.post(RUNS, json={"org_id": "acme"}), client.get("/runs/some")):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["error"] == "the queue is not available: try again"
        assert "hunter2" not in answer.text


def test_with_redis_it_is_ready(client: TestClient) -> None:
    assert (client.get("/ready").status_code, client.get("/ready").json()) == (200, {"status": "ready"})


def test_a_defect_is_answered_without_its_traceback(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(DagLauncher, "get_run_status", broken)
    answer = client.get("/runs/some")
    assert (answer.status_code, answer.json()) == (500, {"error": "the API has a defect; its log says more"})


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/runs/some", 405)])
def test_what_there_is_not_is_answered_in_the_same_form(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, [*answer.json()]) == (status, ["error"])


def test_the_description_names_every_operation_its_fields_and_its_failures(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operations = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert operations == {
        ("POST", "/flows/{flow_name}/runs"),
        ("GET", "/runs"),
        ("GET", "/runs/{run_id}"),
        ("GET", "/runs/{run_id}/result"),
        ("POST", "/runs/{run_id}/cancel"),
        ("POST", "/batches"),
        ("GET", "/batches/{batch_id}"),
        ("GET", "/batches/{batch_id}/runs"),
        ("POST", "/batches/{batch_id}/cancel"),
        ("GET", "/health"),
        ("GET", "/ready"),
    }
    launch = document["paths"]["/flows/{flow_name}/runs"]["post"]
    fields = launch["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert fields.keys() == OPEN_FIELDS | {"org_id"}
    assert {"202", "401", "413", "422", "503"} <= launch["responses"].keys()
    asked = [parameter["name"] for parameter in document["paths"]["/runs"]["get"]["parameters"]]
    assert asked.count("org_id") == 1
    assert {"status", "flow_name", "since", "limit", "after"} <= set(asked)
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert client.get("/docs").status_code == 200


def test_the_descriptions_schemas_refer_to_nothing_that_is_not_there() -> None:
    for body in (schemas.launch_body(), schemas.batch_body(), schemas.cancel_body()):
        assert "$ref" not in str(body)


def test_open_fields_are_fields() -> None:
    assert LaunchRequest.model_fields.keys() > OPEN_FIELDS


def test_the_status_has_what_the_launcher_reports() -> None:
    assert RunStatusAnswer.__annotations__.keys() == RunStatusReport.__annotations__.keys()


def test_the_failures_name_the_guides_words() -> None:
    assert failures.RUN_NOT_FOUND == "Run not found"
