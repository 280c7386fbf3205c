"""Every command and snippet of the documentation, run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagy_queue.local.redis_server import free_port
from dagy_queue.local.stack import LocalStack
from scripts.settings_reference import reference
from tests.integration.waiting import eventually

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BIN = Path(sys.executable).parent


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A directory and an environment as the README's second terminal has them."""
    directory = tmp_path_factory.mktemp("readme")
    with LocalStack() as stack:
        stack.spawn("dispatcher")
        stack.spawn("bridge")
        yield directory, {**os.environ, **stack.environment, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def run(command: list[str], directory: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readmes_snippets_run_as_they_stand(workplace: tuple[Path, dict[str, str]]) -> None:
    directory, environment = workplace
    flow, *programs = blocks(ROOT / "README.md", "python")
    (directory / "greeting.py").write_text(flow)
    (push,) = [
        line for block in blocks(ROOT / "README.md", "bash") for line in block.splitlines() if "flow push" in line
    ]
    assert "registered greeting 1.0.0 for acme" in run(push.split(), directory, environment)
    outputs = [run([sys.executable, "-c", program], directory, environment) for program in programs]
    launched, fanned_out, containers, composed = outputs
    assert containers == "21\n"
    assert launched.endswith("Hello, Ada!\n")
    assert fanned_out.splitlines()[-2:] == ["3 of 3", "['Hello, Ada!', 'Hello, Grace!', 'Hello, Edsger!']"]
    assert composed == "Hello, ['Hello, Ada!', 'Hello, Grace!']!\n"


def test_the_snippets_of_launching_run_as_they_stand(workplace: tuple[Path, dict[str, str]]) -> None:
    directory, environment = workplace
    page = ROOT / "docs" / "launching.md"
    flow, *program = blocks(page, "python")
    (directory / "report.py").write_text(flow)
    (directory / "task-definition.json").write_text(*blocks(page, "json"))
    (push,) = [block.strip() for block in blocks(page, "bash")]
    assert "registered report 1.0.0 for acme" in run(push.split(), directory, environment)
    printed = run([sys.executable, "-c", "\n".join(program)], directory, environment).splitlines()
    assert re.fullmatch(r"True \S+ None", printed[0])
    assert printed[1].startswith("arn:aws:ecs:")
    assert printed[2].startswith("{'day': 'today', ")
    assert printed[3:] == [
        "['nightly:0', 'nightly:1']",
        "7 2024-03-07",
        "200",
        "blue",
        "s3://dagy-outputs-staging",
        "for your eyes only",
        "21",
        "[0, 0]",
    ]


def test_the_snippets_of_fan_out_run_as_they_stand(workplace: tuple[Path, dict[str, str]]) -> None:
    directory, environment = workplace
    page = ROOT / "docs" / "fan-out.md"
    flow, *program = blocks(page, "python")
    (app,) = [block for block in program if "Celery(" in block]
    program.remove(app)
    (directory / "sales.py").write_text(flow)
    (directory / "merge.py").write_text(app)
    push, worker = [block.split() for block in blocks(page, "bash")]
    assert "registered sales 1.0.0 for acme" in run(push, directory, environment)
    with (directory / "merge.log").open("w") as log:
        child = subprocess.Popen(worker, cwd=directory, env=environment, stdout=log, stderr=log)
    try:
        printed = run([sys.executable, "-c", "\n".join(program)], directory, environment).splitlines()
    finally:
        child.terminate()
        child.wait(timeout=30)
    assert printed == [
        "[(1999, 'eu'), (1999, 'us'), (2000, 'eu'), (2000, 'us')]",
        "[99, 0, 1]",
        "[{'year': 2023, 'region': 'eu', 'sales': 23}, {'year': 2024, 'region': 'us', 'sales': 24}]",
        "['bad.jsonl[line 2]', 'bad.jsonl[line 3]']",
        "['eu', 'us'] 2",
        "23",
        "failed",
        "25",
        "3 3 1 True",
        "1 ['FAILED']",
        "48",
    ]


def test_the_commands_of_the_bridge_run_as_they_stand(workplace: tuple[Path, dict[str, str]]) -> None:
    directory, environment = workplace
    _, commands = blocks(ROOT / "docs" / "bridge.md", "bash")
    dead = environment["DAGY_EVENT_QUEUE_URL"] + "-dlq"
    send = f"import boto3; print(boto3.client('sqs').send_message(QueueUrl='{dead}', MessageBody='odd')['MessageId'])"
    for command in commands.splitlines():
        message_id = run([sys.executable, "-c", send], directory, environment).strip()
        printed = run(command.replace("MESSAGE_ID", message_id).split(), directory, environment)
        assert printed
    assert run(["dagy-queue", "dlq", "list"], directory, environment) == "the dead-letter queue is empty\n"


def test_the_bridge_serves_what_its_page_says(workplace: tuple[Path, dict[str, str]]) -> None:
    directory, environment = workplace
    page = (ROOT / "docs" / "bridge.md").read_text()
    script, _ = blocks(ROOT / "docs" / "bridge.md", "bash")
    port = str(free_port())
    urls = [url.replace("9464", port) for url in re.findall(r"`(http://127\.0\.0\.1:9464/\w+)`", page)]
    script = script.replace("9464", port).replace("dagy-queue bridge", "exec dagy-queue bridge")
    child = subprocess.Popen(["bash", "-c", script], cwd=directory, env=environment, stderr=subprocess.DEVNULL)
    try:
        health, metrics = [eventually(lambda url=url: fetched(url), f"{url} answers") for url in urls]
    finally:
        child.terminate()
        child.wait(timeout=30)
    assert json.loads(health)["status"] == "ok"
    named = set(re.findall(r"`(dagy_bridge_\w+)", page))
    assert named <= set(re.findall(r"^# TYPE (\w+)", metrics, re.MULTILINE))


def fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own
            return str(answer.read().decode())
    except OSError:
        return ""


def test_the_policy_of_the_bridge_allows_every_call_that_it_makes() -> None:
    _, text = blocks(ROOT / "docs" / "bridge.md", "json")
    allowed = {action for statement in json.loads(text)["Statement"] for action in statement["Action"]}
    sources = [(ROOT / "dagy_queue" / "bridge" / name).read_text() for name in ("event_queue.py", "dead_letters.py")]
    made = {call.removesuffix("Batch") for source in sources for call in re.findall(r'mapped\("(sqs:\w+)"\)', source)}
    assert made - {"sqs:PurgeQueue"} == {action for action in allowed if action.startswith("sqs:")}


def test_the_snippets_of_retries_run_as_they_stand(workplace: tuple[Path, dict[str, str]]) -> None:
    directory, environment = workplace
    page = ROOT / "docs" / "retries.md"
    program = [*blocks(page, "python"), "print(run.run_id)"]
    *printed, run_id = run([sys.executable, "-c", "\n".join(program)], directory, environment).splitlines()
    assert printed == ["0", "0", "0", "True", "failed {'max_retries': 2}"]
    (explain,) = [block.strip() for block in blocks(page, "bash")]
    answer = run(["bash", "-c", explain], directory, {**environment, "RUN_ID": run_id})
    assert "what happened  the container failed (exit code 3)" in answer


def test_the_local_stacks_snippet_runs() -> None:
    (snippet,) = blocks(ROOT / "docs" / "local-stack.md", "python")
    assert "redis://127.0.0.1:" in run([sys.executable, "-c", snippet], ROOT, dict(os.environ))


def test_the_local_stacks_faults_are_injected_by_http_as_its_page_says(tmp_path: Path) -> None:
    (command,) = blocks(ROOT / "docs" / "local-stack.md", "bash")
    with LocalStack() as stack:
        run(["bash", "-c", command.replace("http://127.0.0.1:4566", stack.endpoint_url)], tmp_path, dict(os.environ))


def test_the_readmes_scripts_exist_and_can_be_run() -> None:
    commands = {word for block in blocks(ROOT / "README.md", "bash") for word in block.split() if word.startswith("./")}
    assert commands == {"./scripts/demo", "./scripts/test"}
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


def test_the_page_of_settings_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == reference()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:dagy_queue|worker_image|tests|scripts|docs)/[\w./-]+)`", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name}: {name}"
