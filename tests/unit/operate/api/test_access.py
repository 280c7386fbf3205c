from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import SettingsInvalid
from dagy_queue.operate.api.auth import org_of
from dagy_queue.operate.api.exposure import check_exposure, new_token
from dagy_queue.operate.loopback import is_loopback
from dagy_queue.settings import load_settings
from dagy_queue.settings.tokens import hashed, read_tokens
from tests.unit.operate.api.conftest import ACME, GLOBEX, HERE, TOKENS, MakeClient, bearer

RUNS = "/flows/etl/runs"
BATCH = {"flow_name": "etl", "shards": [{"n": 1}]}


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(""), {"Authorization": "Basic YWNtZTp4"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", RUNS),
        ("GET", "/runs/some"),
        ("GET", "/runs/some/result"),
        ("POST", "/runs/some/cancel"),
        ("POST", "/batches"),
        ("GET", "/batches/some"),
        ("GET", "/batches/some/runs"),
        ("POST", "/batches/some/cancel"),
    ],
)
def test_nothing_is_done_for_a_stranger(guarded: TestClient, method: str, path: str, headers: dict[str, str]) -> None:
    answer = guarded.request(method, path, headers=headers, json={} if method == "POST" else None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"] == "a bearer token is needed"


@pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json"])
def test_probes_and_the_description_need_no_token(guarded: TestClient, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_the_org_is_the_tokens(guarded: TestClient) -> None:
    for headers in (ACME, bearer("acme-token-2")):
        run_id = guarded.post(RUNS, json={}, headers=headers).json()["run_id"]
        assert guarded.get(f"/runs/{run_id}", headers=ACME).json()["org_id"] == "acme"
    assert guarded.post(RUNS, json={"org_id": "acme"}, headers=ACME).status_code == 202


@pytest.mark.parametrize("org_id", ["acme", 5, ["globex"]])
def test_a_token_launches_nothing_for_another_org(guarded: TestClient, org_id: object) -> None:
    for path, body in ((RUNS, {}), ("/batches", BATCH)):
        answer = guarded.post(path, json={**body, "org_id": org_id}, headers=GLOBEX)
        assert answer.status_code == 403
    assert guarded.post(f"{RUNS}?org_id=acme", json={}, headers=GLOBEX).status_code == 403


def test_another_orgs_run_is_as_if_it_did_not_exist(guarded: TestClient) -> None:
    run_id = guarded.post(RUNS, json={}, headers=ACME).json()["run_id"]
    unknown = guarded.get("/runs/unknown", headers=GLOBEX)
    for path in (f"/runs/{run_id}", f"/runs/{run_id}/result"):
        answer = guarded.get(path, headers=GLOBEX)
        assert (answer.status_code, answer.json()) == (404, unknown.json())
    assert guarded.post(f"/runs/{run_id}/cancel", headers=GLOBEX).status_code == 404
    assert guarded.get(f"/runs/{run_id}?org_id=acme", headers=GLOBEX).status_code == 403
    assert guarded.get(f"/runs/{run_id}", headers=ACME).json()["status"] == "QUEUED"


def test_another_orgs_batch_is_as_if_it_did_not_exist(guarded: TestClient) -> None:
    batch_id = guarded.post("/batches", json=BATCH, headers=ACME).json()["batch_id"]
    for path in (f"/batches/{batch_id}", f"/batches/{batch_id}/runs"):
        answer = guarded.get(path, headers=GLOBEX)
        assert (answer.status_code, answer.json()) == (404, {"error": "Batch not found"})
    assert guarded.post(f"/batches/{batch_id}/cancel", headers=GLOBEX).status_code == 404
    assert guarded.get(f"/batches/{batch_id}", headers=ACME).json()["error_message"] is None


def test_the_same_key_of_two_orgs_is_two_runs(guarded: TestClient) -> None:
    key = {"Idempotency-Key": "1"}
    ids = {guarded.post(RUNS, json={}, headers={**org, **key}).json()["run_id"] for org in (ACME, GLOBEX)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    "field",
    [
        "assign_public_ip",
        "cluster",
        "container_overrides",
        "extra_env_vars",
        "run_task_kwargs",
        "secrets_env",
        "subnets",
        "task_definition",
        "task_definition_template",
        "task_role_arn",
        "worker_image",
    ],
)
def test_whoever_has_a_token_cannot_choose_what_runs_as_whom(guarded: TestClient, field: str) -> None:
    for path, body in ((RUNS, {}), ("/batches", BATCH)):
        answer = guarded.post(path, json={**body, field: "hunter2"}, headers=ACME)
        (problem,) = answer.json()["problems"]
        assert (answer.status_code, problem["field"]) == (422, field)
        assert "DAGY_QUEUE__API__EXTRA_FIELDS" in problem["allowed"]
        assert "hunter2" not in answer.text


def test_the_operator_may_allow_more(make_client: MakeClient) -> None:
    client = make_client(api={"tokens": TOKENS, "extra_fields": "extra_env_vars,task_definition_template"})
    assert client.post(RUNS, json={"extra_env_vars": {"LEVEL": "1"}}, headers=ACME).status_code == 202
    answer = client.post(RUNS, json={"task_definition_template": "/etc/passwd"}, headers=ACME)
    assert answer.json()["problems"][0]["allowed"] == "a complete task definition as an object"


def test_without_tokens_the_caller_sets_what_any_program_on_this_machine_could(client: TestClient) -> None:
    answer = client.post(RUNS, json={"org_id": "acme", "extra_env_vars": {"A": "b"}, "worker_image": "mine:1"})
    assert answer.status_code == 202


def test_without_tokens_a_page_of_another_name_does_not_reach_it(make_client: MakeClient) -> None:
    refused = make_client("http://evil.example").get("/health")
    assert (refused.status_code, [*refused.json()]) == (403, ["error"])
    for name in ("http://localhost:8080", "http://127.0.0.1", "http://[::1]:8080"):
        assert make_client(name).get("/health").status_code == 200
    assert make_client("https://api.example.com", api={"tokens": TOKENS}).get("/health").status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://[", ""])
def test_without_tokens_a_page_of_elsewhere_does_nothing(client: TestClient, origin: str) -> None:
    run_id = client.post(RUNS, json={"org_id": "acme"}).json()["run_id"]
    for path in (f"/runs/{run_id}/cancel", RUNS):
        assert client.post(path, headers={"Origin": origin}).status_code == 403
    assert client.get(f"/runs/{run_id}").json()["status"] == "QUEUED"
    assert client.post(RUNS, json={"org_id": "acme"}, headers={"Origin": "http://localhost:3000"}).status_code == 202


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_without_tokens_it_may_listen_on_loopback(host: str) -> None:
    assert is_loopback(host)
    check_exposure(load_settings().api, host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "api.example.com", "localhost.example.com", ""])  # noqa: S104
def test_without_tokens_it_listens_nowhere_else(host: str) -> None:
    with pytest.raises(SettingsInvalid, match="dagy-queue api-token ORG"):
        check_exposure(load_settings().api, host)
    check_exposure(load_settings(api={"tokens": TOKENS}).api, host)


def test_a_new_token_is_known_by_what_is_printed_with_it() -> None:
    token, known = new_token("acme")
    tokens = read_tokens(known)
    assert token not in known
    assert org_of(tokens, token) == "acme"
    assert org_of(tokens, f"{token} ") == ""


@given(st.text())
def test_no_text_but_a_token_is_anybodys(text: str) -> None:
    assert org_of(TOKENS, text) == ""


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ('{"acme": "my-plain-token"}', "SHA-256"),
        ('{"acme": []}', "SHA-256"),
        ('{"acme": [5]}', "SHA-256"),
        (f'{{"no org": "{hashed("x")}"}}', "the name of an org"),
        (f'{{"acme": "{hashed("x")}", "globex": "{hashed("x")}"}}', "another one has the same"),
        ('["my-plain-token"]', "an object"),
        ("my-plain-token", "an object"),
        ('{"my-plain-token-as-long-as-those-that-we-make": "acme"}', "SHA-256"),
    ],
)
def test_tokens_that_cannot_be_read_are_refused_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, given_: str, said: str
) -> None:
    monkeypatch.setenv("DAGY_QUEUE__API__TOKENS", given_)
    with pytest.raises(SettingsInvalid, match=said) as caught:
        load_settings()
    assert "api.tokens" in str(caught.value)
    assert "my-plain-token" not in str(caught.value)


def test_extra_fields_are_fields() -> None:
    with pytest.raises(SettingsInvalid, match="secret_env is no field of a flow's launch; did you mean secrets_env"):
        load_settings(api={"extra_fields": "secret_env"})


def test_here_is_loopback() -> None:
    assert is_loopback(HERE.removeprefix("http://"))
