"""The API as a process of its own, and in Lambda."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from typer.testing import CliRunner

from dagy_queue.errors import SettingsInvalid
from dagy_queue.ledger import RedisConnection, RunLedger
from dagy_queue.local.free_port import free_port
from dagy_queue.operate import api, cli
from dagy_queue.operate.api import server
from dagy_queue.settings import load_settings, settings
from tests.integration.waiting import eventually
from tests.unit.operate.api.conftest import ACME, TOKENS

API = (sys.executable, "-m", "dagy_queue.operate.cli", "api")


@pytest.fixture
def serving(connection: RedisConnection, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server on a free port, and its URL."""
    port = free_port()
    environment = {**os.environ, "DAGY_REDIS_URL": connection.settings.url}
    log = tmp_path / "api.log"
    with log.open("wb") as output:
        process = subprocess.Popen([*API, "--port", str(port)], env=environment, stderr=output, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return bool(httpx2.get(f"{url}/ready", timeout=5).status_code == 200)
        except httpx2.TransportError:
            return False

    eventually(answers, "the API is ready")
    yield process, url
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_ends_with_0(
    serving: tuple[subprocess.Popen[bytes], str], number: signal.Signals
) -> None:
    process, _ = serving
    process.send_signal(number)
    assert process.wait(30) == 0


def test_a_server_that_is_told_to_stop_before_it_listens_to_signals_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []

    def run(serving: uvicorn.Server, sockets: list[socket.socket]) -> None:
        signal.raise_signal(signal.SIGTERM)
        told.append(serving.should_exit)
        sockets[0].close()

    monkeypatch.setattr(uvicorn.Server, "run", run)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert server.run_api(load_settings(launch={"mode": "direct"}), port=0) == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert told == [True]


def test_a_server_takes_launches(serving: tuple[subprocess.Popen[bytes], str], connection: RedisConnection) -> None:
    _, url = serving
    answer = httpx2.post(f"{url}/flows/etl/runs", json={"org_id": "acme", "parameters": {"n": 1}}, timeout=20)
    assert (answer.status_code, answer.json()["success"]) == (202, True)
    assert connection.client.llen("dagy.launch") == 1


def refusal(*arguments: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [*API, *arguments], env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def test_without_tokens_it_does_not_listen_beyond_this_machine() -> None:
    said = refusal("--host", "0.0.0.0")  # noqa: S104 - it is refused
    assert said.startswith("dagy-queue: without tokens the API serves this machine alone, not on 0.0.0.0")


def test_a_port_in_use_is_told_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = refusal("--port", str(taken.getsockname()[1]))
    assert "Address already in use; choose another with --host and --port" in said


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "NEEDED", ("fastapi", "no_such_server"))
    with pytest.raises(SettingsInvalid, match=r"the API needs no_such_server: pip install 'dagy-queue\[api\]'"):
        server.run_api(load_settings())


def test_a_token_is_made_on_the_command_line() -> None:
    answer = CliRunner().invoke(cli.app, ["api-token", "acme"])
    token, export = answer.output.split("\n", 1)
    assert len(token) >= 43
    known = json.loads(export.strip().removeprefix("export DAGY_QUEUE__API__TOKENS='").removesuffix("'"))
    assert known.keys() == {"acme"}
    assert token not in export
    assert CliRunner().invoke(cli.app, ["api-token", "no org"]).exit_code == 2


def event(path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Return an event of an HTTP API of API Gateway, payload format 2.0."""
    method = "GET" if body is None else "POST"
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "api.example.com", "content-type": "application/json", **(headers or {})},
        "requestContext": {
            "http": {"method": method, "path": path, "sourceIp": "203.0.113.9", "protocol": "HTTP/1.1"},
            "stage": "$default",
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


@pytest.fixture
def lambda_settings(connection: RedisConnection, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("DAGY_REDIS_URL", connection.settings.url)
    for cache in (settings, api._adapter):
        cache.cache_clear()
    yield monkeypatch
    for cache in (settings, api._adapter):
        cache.cache_clear()


def test_lambda_serves_the_same_api(lambda_settings: pytest.MonkeyPatch, connection: RedisConnection) -> None:
    lambda_settings.setenv("DAGY_QUEUE__API__TOKENS", json.dumps(TOKENS))
    stranger = api.handler(event("/flows/etl/runs", {}), None)
    assert stranger["statusCode"] == 401
    answer = api.handler(
        event("/flows/etl/runs", {"parameters": {"day": 1}}, {"authorization": ACME["Authorization"]}), None
    )
    accepted = json.loads(answer["body"])
    assert (answer["statusCode"], accepted["task_arn"]) == (202, None)
    status = api.handler(event(f"/runs/{accepted['run_id']}", None, {"authorization": ACME["Authorization"]}), None)
    assert json.loads(status["body"])["status"] == "QUEUED"
    run_path = f"/runs/{accepted['run_id']}"
    api.handler(
        event(f"{run_path}/cancel", {"reason": "ordered twice"}, {"authorization": ACME["Authorization"]}), None
    )
    assert RunLedger(connection).get(accepted["run_id"]).cancel_reason == "ordered twice"
    api._adapter().app.state.desk.publisher.redis.close()


def test_lambda_does_not_serve_without_tokens(lambda_settings: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match="not in Lambda"):
        api.handler(event("/health"), None)


def test_the_package_imports_nothing_heavy_before_it_is_used() -> None:
    code = "import sys; import dagy_queue.operate.api; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"fastapi", "mangum", "celery", "boto3", "pydantic"} & set(done.stdout.split())
