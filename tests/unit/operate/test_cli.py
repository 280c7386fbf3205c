from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dagy_queue.bridge import service
from dagy_queue.dispatch import worker
from dagy_queue.errors import SettingsInvalid
from dagy_queue.local import up
from dagy_queue.operate import cli, explain, flows, log_setup
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.settings import settings

DLQ = [["dlq"], *(["dlq", name] for name in ("list", "show", "redrive", "purge"))]
COMMANDS = [[], ["up"], ["dispatcher"], ["bridge"], ["config"], ["explain"], ["flow"], ["flow", "push"], *DLQ]


@pytest.fixture(autouse=True)
def _logging_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_setup, "configure_logging", lambda _level: None)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str]) -> None:
    answer = run(*command, "--help")
    assert answer.exit_code == 0
    assert "--help" in answer.output


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from dagy_queue.operate import cli; import typer.testing; "
        "typer.testing.CliRunner().invoke(cli.app, ['--help']); print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"celery", "boto3", "pydantic", "redis", "moto"} & set(done.stdout.split())


def test_the_dispatcher_takes_its_settings_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(worker, "run_dispatcher", lambda config, **options: calls.append((config, options)) or 0)
    run("dispatcher")
    run("dispatcher", "--concurrency", "4", "--name", "d1", "--log-level", "debug")
    assert calls == [
        (settings(), {"concurrency": None, "name": "", "loglevel": "info"}),
        (settings(), {"concurrency": 4, "name": "d1", "loglevel": "debug"}),
    ]


def test_the_bridge_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(service, "run_bridge", calls.append)
    assert run("bridge").exit_code == 0
    assert calls == [settings()]


@pytest.mark.parametrize("status", [0, 3])
def test_the_local_stack_is_run_and_its_exit_code_passed_on(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    calls: list[up.UpOptions] = []

    def run_up(options: up.UpOptions) -> int:
        calls.append(options)
        return status

    monkeypatch.setattr(up, "run_up", run_up)
    answer = run("up", "--redis-port", "7000", "--dispatchers", "2", "--no-flower")
    assert answer.exit_code == status
    assert (calls[0].redis_port, calls[0].dispatchers, calls[0].no_flower, calls[0].redis_url) == (7000, 2, True, None)


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
    answer = run("flow", "push", str(file), "--org", "acme", "--flow", "etl")
    assert calls == [{"file": file, "org_id": "acme", "version": None, "flow": "etl"}]
    assert "s3://bucket/etl.zip" in answer.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["flow", "push", "/no/such/file.py", "--org", "acme"],
        ["flow", "push"],
        ["up", "--dispatchers", "0"],
        ["nonsense"],
    ],
)
def test_a_wrong_use_is_exit_code_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_an_unknown_log_level_is_exit_code_2_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(service, "run_bridge", lambda _config: None)
    answer = CliRunner().invoke(cli.app, ["bridge", "--log-level", "loud"])
    assert answer.exit_code == 2


def test_an_error_of_ours_is_one_message_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(config: Any) -> None:
        raise SettingsInvalid("set DAGY_EVENT_QUEUE_URL")

    monkeypatch.setattr(service, "run_bridge", fail)
    monkeypatch.setattr(sys, "argv", ["dagy-queue", "bridge"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr()
    assert (caught.value.code, said.out, said.err) == (1, "", "dagy-queue: set DAGY_EVENT_QUEUE_URL\n")


def test_the_installed_command_works() -> None:
    command = Path(sys.executable).parent / "dagy-queue"
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert "bridge" in done.stdout


@pytest.mark.parametrize("options", [["--redis-port", "99999"], ["--aws-port", "0"], ["--redis-url", "nonsense"]])
def test_up_refuses_what_cannot_be_a_port_or_url(options: list[str]) -> None:
    assert CliRunner().invoke(cli.app, ["up", *options]).exit_code == 2


def test_an_empty_id_is_not_explained() -> None:
    answer = run("explain", " ")
    assert answer.exit_code == 2
    assert "give the id of a run" in answer.output


def test_a_batch_is_told_from_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "_is_batch", lambda run_id: run_id == "batch")
    assert explain.not_found("batch", "").startswith("'batch' is a batch, not a run")
    assert explain.not_found("other", "") == "there is no run 'other'"
    assert explain.not_found("batch", "acme") == "there is no run 'batch' of org 'acme'"
