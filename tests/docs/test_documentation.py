"""Every command and snippet of the documentation, run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagy_queue.local.free_port import free_port
from dagy_queue.local.stack import LocalStack
from dagy_queue.settings import load_settings
from scripts.cli_reference import reference as cli_reference
from scripts.settings_reference import reference
from tests.docs.snippets import BIN, ROOT, blocks, fetched, run
from tests.integration.waiting import eventually

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PICTURES = ("docs/images/flower.png", "docs/images/watch.svg")
"""What `scripts/screenshots` makes."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A directory and an environment as the README's second terminal has them."""
    directory = tmp_path_factory.mktemp("readme")
    with LocalStack() as stack:
        stack.spawn("dispatcher")
        stack.spawn("bridge")
        yield directory, {**os.environ, **stack.environment, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


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
        "[1] [23, None, 25]",
        "48",
    ]


def test_the_page_of_the_registry_runs_as_it_stands(workplace: tuple[Path, dict[str, str]]) -> None:
    directory, environment = workplace
    page = ROOT / "docs" / "registry.md"
    flow, launching, deployment, models = blocks(page, "python")
    push, look, deprecate, deployments = blocks(page, "bash")
    (directory / "visits.py").write_text(flow)
    pushed = run(["bash", "-ec", push], directory, environment)
    assert "registered my-deps 1.0.0 for globex" in pushed
    assert "registered visits 1.0.0 for globex" in pushed
    assert run([sys.executable, "-c", launching], directory, environment) == "0\n1.0.0\n"
    as_globex = {**environment, "DAGY_ORG_ID": "globex"}
    shown = run(["bash", "-ec", look], directory, as_globex)
    assert re.search(r"^visits +1\.1\.0 +2 ", shown, re.MULTILINE)
    assert re.search(r"^version +1\.1\.0 \(latest\)$", shown, re.MULTILINE)
    said = run(["bash", "-ec", deprecate], directory, as_globex)
    assert re.search(r"^1\.1\.0 +INACTIVE \(counts holidays twice\) ", said, re.MULTILINE)
    assert re.search(r"^1\.0\.0 +latest +ACTIVE ", said, re.MULTILINE)
    assert said.endswith("visits 1.1.0 of globex: ACTIVE\n")
    set_and_shown = run(["bash", "-ec", deployments], directory, as_globex)
    assert re.search(r"^tools +\(any\) +all orgs$", set_and_shown, re.MULTILINE)
    assert run([sys.executable, "-c", f"{deployment}\n{models}"], directory, environment) == "1.0.0\n"


def test_the_page_of_the_tables_runs_as_it_stands(workplace: tuple[Path, dict[str, str]]) -> None:
    directory, environment = workplace
    (tables,) = blocks(ROOT / "docs" / "records.md", "bash")
    assert {line.rpartition(": ")[2] for line in run(["bash", "-ec", tables], directory, environment).splitlines()} == {
        "exists"
    }
    flow = blocks(ROOT / "README.md", "python")[0]
    (directory / "greeting.py").write_text(flow)
    run(["dagy-queue", "flow", "push", "greeting.py", "--org", "acme"], directory, environment)
    batch = "fan_out(flow_name='greeting', org_id='acme', shards=[{'name': n} for n in 'abc']).get(timeout=60)"
    run([sys.executable, "-c", f"from dagy_queue import fan_out; {batch}"], directory, environment)
    (lists,) = blocks(ROOT / "docs" / "records.md", "python")
    wait = "from dagy_queue.records.run_queries import *; print(len(runs_of_flow('acme', 'greeting', SUCCEEDED).runs))"
    wait = wait.replace("SUCCEEDED", "RunFilter(statuses=('SUCCEEDED',))")
    eventually(lambda: int(run([sys.executable, "-c", wait], directory, environment)) >= 3, "the batch is recorded", 60)
    counts = run([sys.executable, "-c", lists], directory, environment).splitlines()
    assert counts[0] == "2 True"
    assert int(counts[1]) >= 3
    assert counts[2:] == ["[0, 1, 2]", "3", "succeeded", "None []"]


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


def test_the_redrive_policy_of_the_bridges_page_leaves_the_bridge_its_tries() -> None:
    policy, _ = (json.loads(text) for text in blocks(ROOT / "docs" / "bridge.md", "json"))
    assert policy.keys() == {"deadLetterTargetArn", "maxReceiveCount"}
    assert policy["maxReceiveCount"] > load_settings().bridge.max_receives


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
    of_deployment = ["failed {'max_retries': 2} its max_retries (2) are used up", "failed {} its max_retries are 0"]
    assert printed == ["0", "0", "0", "True", *of_deployment, "failed {'max_retries': 2}"]
    (explain,) = [block.strip() for block in blocks(page, "bash")]
    answer = run(["bash", "-c", explain], directory, {**environment, "RUN_ID": run_id})
    assert "what happened  the container failed (exit code 3)" in answer


@pytest.mark.timeout(500)
def test_the_commands_of_the_command_lines_page_run_as_they_stand(workplace: tuple[Path, dict[str, str]]) -> None:
    directory, environment = workplace
    script = "\n".join(blocks(ROOT / "docs" / "command-line.md", "bash"))
    printed = run(["bash", "-e", "-c", script], directory, environment, seconds=400)
    for words in (
        "it exited with 3",
        "log ends with  at work",
        "(attempt 2)",
        "a shard failed",
        "1x the container failed (exit code 1)",
        "had ended already",
        "everything is as it should be",
        "canary",
    ):
        assert words in printed


def test_the_local_stacks_snippet_runs() -> None:
    (snippet,) = blocks(ROOT / "docs" / "local-stack.md", "python")
    assert "redis://127.0.0.1:" in run([sys.executable, "-c", snippet], ROOT, dict(os.environ))


def test_the_local_stacks_faults_are_injected_by_http_as_its_page_says(tmp_path: Path) -> None:
    (command,) = blocks(ROOT / "docs" / "local-stack.md", "bash")
    with LocalStack() as stack:
        run(["bash", "-c", command.replace("http://127.0.0.1:4566", stack.endpoint_url)], tmp_path, dict(os.environ))


def test_the_page_of_settings_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == reference()


def test_the_page_of_commands_is_up_to_date() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == cli_reference()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", without_comments(page)):
        if target not in PICTURES or (ROOT / "scripts" / "screenshots").exists():
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_pages_lead_to_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", without_comments(page)):
        text = (page.parent / target).read_text() if target else page.read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


def without_comments(page: Path) -> str:
    """Return a page's text without what is commented out."""
    return re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:dagy_queue|worker_image|tests|scripts|docs)/[\w./-]+)`", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name}: {name}"
