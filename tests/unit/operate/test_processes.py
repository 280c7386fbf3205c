"""``up``, ``dispatcher`` and ``bridge``; and ``flow push``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dagy_queue.bridge import service
from dagy_queue.dispatch import worker
from dagy_queue.local import up
from dagy_queue.operate import flows, log_setup
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.settings import settings
from tests.unit.operate.kit import dagy_queue


@pytest.fixture(autouse=True)
def _logging_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_setup, "configure_logging", lambda _level: None)


def test_the_dispatcher_takes_its_settings_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(worker, "run_dispatcher", lambda config, **options: calls.append((config, options)) or 0)
    dagy_queue("dispatcher")
    dagy_queue("dispatcher", "--concurrency", "4", "--name", "d1", "--log-level", "debug")
    assert calls == [
        (settings(), {"concurrency": None, "name": "", "loglevel": "info"}),
        (settings(), {"concurrency": 4, "name": "d1", "loglevel": "debug"}),
    ]


def test_the_bridge_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(service, "run_bridge", calls.append)
    assert dagy_queue("bridge").code == 0
    assert calls == [settings()]


def test_an_unknown_log_level_is_refused() -> None:
    answer = dagy_queue("bridge", "--log-level", "loud")
    assert answer.code == 2
    assert "'loud' is not one of debug, info, warning, error" in answer.err


@pytest.mark.parametrize("status", [0, 3])
def test_the_local_stack_is_run_and_its_exit_code_passed_on(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    calls: list[up.UpOptions] = []

    def run_up(options: up.UpOptions) -> int:
        calls.append(options)
        return status

    monkeypatch.setattr(up, "run_up", run_up)
    assert dagy_queue("up", "--redis-port", "7000", "--dispatchers", "2", "--no-flower").code == status
    assert (calls[0].redis_port, calls[0].dispatchers, calls[0].no_flower, calls[0].redis_url) == (7000, 2, True, None)


@pytest.mark.parametrize("url", ["http://:sesame@localhost/0", "redis://:sesame@localhost:none/0", "redis://h/first"])
def test_a_redis_that_no_client_could_find_is_refused_at_once(url: str) -> None:
    answer = dagy_queue("up", "--redis-url", url)
    assert answer.code == 2
    assert "Invalid value for '--redis-url'" in answer.err
    assert "sesame" not in answer.err


@pytest.mark.parametrize("options", [["--redis-port", "99999"], ["--aws-port", "0"], ["--redis-url", "nonsense"]])
def test_up_refuses_what_cannot_be_a_port_or_url(options: list[str]) -> None:
    assert dagy_queue("up", *options).code == 2


def test_a_flow_is_pushed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = []

    def push(config: Any, file: Path, **options: Any) -> RegisteredFlow:
        calls.append({"file": file, **options})
        return RegisteredFlow(
            org_id="acme", name="etl", version="1", artifact_uri="s3://bucket/etl.zip", artifact_sha256="0"
        )

    monkeypatch.setattr(flows, "push_flow", push)
    file = tmp_path / "etl.py"
    file.touch()
    answer = dagy_queue("flow", "push", str(file), "--org", "acme", "--flow", "etl")
    assert calls == [{"file": file, "org_id": "acme", "version": None, "flow": "etl", "notes": flows.NO_NOTES}]
    assert "s3://bucket/etl.zip" in answer.out
    assert dagy_queue("flow", "push", "/no/such/file.py", "--org", "acme").code == 2
