"""docs/flower.md as it stands: its commands, its searches, the states and settings that it names."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dagy_queue import ContainerRequest, Phase, fan_out, launch
from dagy_queue.bridge.run_events import _TYPES
from dagy_queue.ids import shard_id
from dagy_queue.local.free_port import free_port
from dagy_queue.local.readiness import flower_ready
from dagy_queue.local.stack import LocalStack
from dagy_queue.settings import Settings
from tests.docs.snippets import BIN, ROOT, blocks
from tests.integration.conftest import stack_of_its_own
from tests.integration.waiting import eventually, until_phase

PAGE = ROOT / "docs" / "flower.md"
START, END_A_RUN = blocks(PAGE, "bash")
STUB = ContainerRequest(org_id="acme", image="dagy-local/stub:latest")
LOGIN = "ops:choose-a-password"
PATIENCE = 60.0
STATES = {"task-sent": "PENDING", "task-retried": "RETRY", "task-succeeded": "SUCCESS", "task-failed": "FAILURE"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the page's commands are given, with the port that this Flower has."""

    environment: dict[str, str]
    directory: Path
    port: int

    def shell(self, script: str, **variables: str) -> subprocess.Popen[str]:
        """Run commands of the page in a shell."""
        script = script.replace("/var/lib/dagy", str(self.directory)).replace(":5555", f":{self.port}")
        environment = {**self.environment, **variables}
        return subprocess.Popen(["bash", "-euc", script], cwd=self.directory, env=environment, text=True)

    def found(self, search: str) -> set[str]:
        """Return the ids of what a search in the list of tasks finds."""
        query = {"draw": 1, "start": 0, "length": 100, "search[value]": search}
        query |= {"columns[0][data]": "name", "order[0][column]": 0, "order[0][dir]": "asc"}
        url = f"http://127.0.0.1:{self.port}/tasks/datatable?{urllib.parse.urlencode(query)}"
        token = base64.b64encode(LOGIN.encode()).decode()
        asked = urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:  # noqa: S310 - our own
            rows: list[dict[str, Any]] = json.loads(answer.read())["data"]
            return {row["uuid"] for row in rows}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A stack, with a Flower beside it that the page's own commands have started."""
    directory, port = tmp_path_factory.mktemp("flower"), free_port()
    with stack_of_its_own(tmp_path_factory.mktemp("stack")) as stack:
        stack.spawn("dispatcher")
        stack.spawn("bridge")
        yield from _with_flower(stack, directory, port)


def _with_flower(stack: LocalStack, directory: Path, port: int) -> Iterator[Place]:
    install, *others = START.splitlines()
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **stack.environment, "PATH": path, "FLOWER_PORT": str(port)}
    place = Place(environment, directory, port)
    assert install == "pip install 'dagy-queue[monitor]'"
    flower = place.shell("\n".join(others).replace("dagy-queue flower", "exec dagy-queue flower"))
    try:
        eventually(lambda: flower_ready(port), "Flower serves pages", PATIENCE)
        yield place
    finally:
        flower.terminate()
        flower.wait(timeout=30)


def test_what_it_says_to_install_brings_flower() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(each.startswith("flower") for each in extras["monitor"])


def test_its_searches_find_what_it_says(place: Place) -> None:
    batch = fan_out(STUB, shards=[{"command": ["600", "0"]}, {"command": ["0", "3"]}])
    other = launch(STUB.model_copy(update={"org_id": "globex"}))
    going, failed = (shard_id(batch.batch_id, number) for number in (0, 1))
    rows = re.findall(r"^\| `(\w+:[^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    failures, running, of_org, of_batch = [re.sub(r"batch=\S+", f"batch={batch.batch_id}", row) for row in rows]
    eventually(lambda: failed in place.found(failures), "the failure is found", PATIENCE)
    eventually(lambda: place.found(running) >= {going, batch.batch_id}, "what runs is found", PATIENCE)
    eventually(lambda: other.run_id in place.found("state:SUCCESS"), "the other one is over", PATIENCE)
    assert place.found(of_org) == {going, failed, batch.batch_id}
    assert place.found(of_batch) == {failed}
    batch.cancel()


def test_its_command_ends_a_run(place: Place) -> None:
    run = launch(STUB.model_copy(update={"command": ("600", "0")}))
    until_phase(run, Phase.RUNNING)
    ended = place.shell(END_A_RUN, RUN_ID=run.run_id, FLOWER_BASIC_AUTH=LOGIN)
    assert ended.wait(timeout=PATIENCE) == 0
    until_phase(run, Phase.CANCELLED)
    assert f'reason in the record is "{run.entry().cancel_reason}"' in re.sub(r"\s+", " ", PAGE.read_text())


def test_it_keeps_what_it_knows_where_it_was_told_to(place: Place) -> None:
    eventually(lambda: any(place.directory.iterdir()), "its file is there", PATIENCE)


def test_it_names_every_state_that_runs_have() -> None:
    rows = re.findall(r"^\| ([A-Z, ]+) \|", PAGE.read_text(), re.MULTILINE)
    told = {STATES.get(kind, kind.removeprefix("task-").upper()) for kind in _TYPES.values()}
    assert {state for row in rows for state in row.split(", ")} == told


def test_the_settings_that_it_names_have_these_defaults() -> None:
    rows = re.findall(r"^\| `monitor\.(\w+)` \| (\S+) \|", PAGE.read_text(), re.MULTILINE)
    defaults = Settings().monitor.model_dump(mode="json")
    assert rows
    assert [(name, json.loads(default)) for name, default in rows] == [(name, defaults[name]) for name, _ in rows]
