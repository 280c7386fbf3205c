"""The command line as a whole; each command has a file of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from dagy_queue.bridge import service
from dagy_queue.errors import AwsUnavailable, RequestInvalid, SettingsInvalid
from dagy_queue.operate import cli, log_setup
from tests.unit.operate.kit import dagy_queue

HEAVY = {"boto3", "celery", "moto", "pydantic", "redis", "rich.console", "rich.markdown", "structlog"}


@pytest.fixture(autouse=True)
def _logging_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_setup, "configure_logging", lambda _level: None)


def paths(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return all commands below one, and itself."""
    below = getattr(command, "commands", {})
    return [path, *(found for name, each in below.items() for found in paths(each, (*path, name)))]


@pytest.mark.parametrize("path", paths(typer.main.get_command(cli.app)), ids=" ".join)
def test_every_command_has_help_by_both_names(path: tuple[str, ...]) -> None:
    answer = dagy_queue(*path, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert "-h, --help" in answer.out
    assert dagy_queue(*path, "-h") == answer


@pytest.mark.parametrize("path", paths(typer.main.get_command(cli.app)), ids=" ".join)
def test_the_help_names_arguments_as_the_reference_does(path: tuple[str, ...]) -> None:
    command: Any = typer.main.get_command(cli.app)
    for name in path:
        command = command.commands[name]
    names = [each.metavar or each.name for each in command.params if each.param_type_name == "argument"]
    assert names == [name.upper().removesuffix("...") for name in names]


def test_the_help_has_a_section_for_each_kind_of_command_and_every_command_in_one() -> None:
    out = dagy_queue("--help").out
    for command in cli.COMMANDS:
        assert f"\n{command.section}:\n" in out
        assert f"\n  {command.name} " in out


def test_every_command_says_what_it_does_in_one_short_sentence() -> None:
    sections = dagy_queue("--help").out.partition("Launch:")[2]
    lines = [line for line in sections.splitlines() if line.startswith("  ")]
    assert len(lines) == len(cli.COMMANDS)
    assert all(line.rstrip().endswith(".") and "..." not in line for line in lines)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from dagy_queue.operate.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    show = "print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def cpu_seconds(*arguments: str) -> float:
    """Return the CPU seconds of a program, the best of a few times."""
    import resource

    best = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


@pytest.mark.alone
def test_people_do_not_wait_for_help_nor_for_the_import() -> None:
    its_libraries = cpu_seconds("-c", "import typer, rich.console")
    assert cpu_seconds("-m", "dagy_queue.operate.cli", "--help") < 2 * its_libraries
    assert cpu_seconds("-c", "import dagy_queue") < its_libraries


def test_the_version_is_shown() -> None:
    assert dagy_queue("--version").out.startswith("dagy-queue 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["flow", "push"],
        ["up", "--dispatchers", "0"],
        ["list", "--nope"],
        ["dispatcher", "--concurrency", "-1"],
    ],
)
def test_a_wrong_use_is_exit_code_2_and_on_stderr(arguments: list[str]) -> None:
    answer = dagy_queue(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "Usage: dagy-queue" in answer.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsInvalid("set DAGY_EVENT_QUEUE_URL"), 1),
        (RequestInvalid("set DAGY_EVENT_QUEUE_URL"), 2),
        (AwsUnavailable("set DAGY_EVENT_QUEUE_URL"), 4),
    ],
)
def test_an_error_of_ours_is_one_message_and_an_exit_code_by_its_kind(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(_config: Any) -> None:
        raise error

    monkeypatch.setattr(service, "run_bridge", fail)
    answer = dagy_queue("bridge")
    assert (answer.code, answer.out, answer.err) == (code, "", "dagy-queue: set DAGY_EVENT_QUEUE_URL\n")


def test_ctrl_c_is_exit_code_130_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_config: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(service, "run_bridge", interrupted)
    answer = dagy_queue("bridge")
    assert (answer.code, answer.out, answer.err) == (130, "", "")


def test_the_installed_command_works() -> None:
    command = Path(sys.executable).parent / "dagy-queue"
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert "bridge" in done.stdout


def test_a_pipe_that_is_closed_ends_a_command_without_a_word() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "dagy_queue.operate.cli", "config"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    child.wait()


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, in which ``$CLI`` is the command line."""
    known = {**os.environ, "CLI": f"{sys.executable} -m dagy_queue.operate.cli", **environment}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=known)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["config", "--version", "config --help"])
def test_a_disk_that_is_full_is_one_line_on_stderr(arguments: str, unbuffered: str) -> None:
    done = shell(f"$CLI {arguments} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == (
        "dagy-queue: stdout cannot be written (No space left on device): make room or lead it elsewhere; "
        "what was done is done\n"
    )


def test_what_rich_prints_onto_a_full_disk_is_one_line_as_well() -> None:
    done = shell("$CLI doctor > /dev/full", DAGY_REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert done.stderr.startswith("dagy-queue: stdout cannot be written")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("closing", ["2> /dev/full", "2>&-"])
def test_an_error_that_nobody_can_be_told_keeps_its_exit_code(closing: str) -> None:
    assert shell(f"$CLI status r {closing}", DAGY_REDIS_URL="redis://127.0.0.1:1/0").returncode == 4


@pytest.mark.parametrize("command", ["flow list --org acme", "dlq list", "doctor"])
def test_an_endpoint_of_aws_that_is_no_url_is_no_traceback(command: str) -> None:
    done = shell(f"$CLI {command}", DAGY_REDIS_URL="redis://127.0.0.1:1/0", AWS_ENDPOINT_URL="http://[")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "check AWS_ENDPOINT_URL" in done.stdout + done.stderr


def test_a_process_without_stdin_and_stdout_has_empty_ones() -> None:
    done = shell("$CLI doctor <&- >&-", DAGY_REDIS_URL="redis://127.0.0.1:1/0", AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_terminal_that_has_not_all_characters_is_shown_the_others_as_escapes() -> None:
    environment = {"PYTHONIOENCODING": "latin-1", "DAGY_REDIS_URL": "redis://日本"}
    command = [sys.executable, "-m", "dagy_queue.operate.cli", "config"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert r"redis://\u65e5\u672c" in done.stdout


def test_completion_knows_the_commands() -> None:
    environment = {"_DAGY_QUEUE_COMPLETE": "complete_bash", "COMP_WORDS": "dagy-queue fan", "COMP_CWORD": "1"}
    command = Path(sys.executable).parent / "dagy-queue"
    done = subprocess.run([command], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["fan-out"]
