"""Every command of docs/http-api.md, run by a shell against the API on a stack; answers have the fields shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dagy_queue.local.environment import environ
from dagy_queue.local.free_port import free_port
from dagy_queue.local.stack import LocalStack
from dagy_queue.operate.flows import push_flow
from tests.docs.snippets import BIN, ROOT, blocks
from tests.integration.waiting import eventually

PAGE = ROOT / "docs" / "http-api.md"
SHOWN = re.compile(r"^```bash\n(.*?)^```$(?:\n\n?(?:answers 202:\n\n)?^```json\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


class Place:
    """A directory, a stack and a shell."""

    def __init__(self, stack: LocalStack, directory: Path) -> None:
        self.stack = stack
        self.directory = directory
        self.port = free_port()
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, **stack.environment, "PATH": path}

    def serve(self, **environment: str) -> None:
        """Start the API as the page does, on a port of its own."""
        own = {"DAGY_QUEUE__API__PORT": str(self.port), **environment}
        child = self.stack.spawn("api", label="api", environment=own)
        child.wait_until(self._is_ready, 60, "ready")

    def run(self, command: str) -> str:
        """Run a command of the page."""
        done = subprocess.run(
            ["bash", "-euc", command.replace(":8080", f":{self.port}")],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _is_ready(self) -> bool:
        try:
            return bool(httpx2.get(f"http://127.0.0.1:{self.port}/ready", timeout=10).status_code == 200)
        except httpx2.TransportError:
            return False


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("api")
    flow = directory / "greeting.py"
    flow.write_text(blocks(ROOT / "README.md", "python")[0])
    with LocalStack() as stack:
        stack.spawn("dispatcher")
        stack.spawn("bridge")
        with environ(stack.environment):
            push_flow(stack.settings(), flow, org_id="acme")
        yield Place(stack, directory)


def over(place: Place, command: str) -> dict[str, Any]:
    """Repeat a command until what it looks at is over."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = json.loads(place.run(command).splitlines()[0])
        return None if found.get("status") in ("QUEUED", "RUNNING") or found.get("is_over") is False else found

    return eventually(look, f"it is over: {command}", 60)


def same_fields(shown: str, answer: Any) -> None:
    assert json.loads(shown).keys() == answer.keys(), answer


def test_the_commands_run_as_they_stand(place: Place) -> None:
    commands = SHOWN.findall(PAGE.read_text())
    serve, launch, look, result, list_runs, fan_out, watch, cancel, wrong, token, with_token = commands
    assert serve[0].strip() == "dagy-queue api"
    place.serve()

    launched = json.loads(place.run(launch[0]))
    same_fields(launch[1], launched)
    place.environment["RUN_ID"] = launched["run_id"]
    status = over(place, look[0])
    same_fields(look[1], status)
    assert (status["status"], status["flow_name"]) == ("SUCCEEDED", "greeting")
    returned = json.loads(place.run(result[0]))
    same_fields(result[1], returned)
    assert returned["result"] == json.loads(result[1])["result"] == "Hello, Ada!"

    def listed() -> bool:
        runs = json.loads(place.run(list_runs[0]))["runs"]
        return [run["run_id"] for run in runs] == [launched["run_id"]]

    eventually(listed, "the run is in the list")

    accepted, again = (json.loads(place.run(fan_out[0])) for _ in range(2))
    same_fields(fan_out[1], accepted)
    assert (accepted, accepted["total"]) == (again, 2)
    place.environment["BATCH_ID"] = accepted["batch_id"]
    progress, page = watch[0].splitlines()
    assert over(place, progress)["by_status"] == {"SUCCEEDED": 2}
    shards = json.loads(place.run(page))["shards"]
    assert [shard["result"] for shard in shards] == ["Hello, Ada!", "Hello, Grace!"]
    assert json.loads(place.run(cancel[0]))["status"] == "over"

    refused = json.loads(place.run(wrong[0]))
    same_fields(wrong[1], refused)
    assert [problem["field"] for problem in refused["problems"]] == ["memory"]

    made = place.run(f'{token[0]}\nprintf \'%s\\n%s\' "$TOKEN" "$DAGY_QUEUE__API__TOKENS"')
    place.environment["TOKEN"], tokens = made.split("\n")
    place.serve(DAGY_QUEUE__API__TOKENS=tokens)
    assert json.loads(place.run(with_token[0]))["success"] is True
    assert json.loads(place.run(launch[0]))["error"] == "a bearer token is needed"


def test_the_page_names_every_path(place: Place) -> None:
    place.serve()
    document = httpx2.get(f"http://127.0.0.1:{place.port}/openapi.json", timeout=30).json()
    paths = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    assert paths == set(re.findall(r"`((?:GET|POST) /[\w/{}]*)`", PAGE.read_text()))


def test_what_the_page_says_of_its_settings_is_so() -> None:
    from dagy_queue.settings import load_settings

    api = load_settings().api
    page = PAGE.read_text()
    assert f"{api.host}:{api.port}" in page
    assert f"`DAGY_QUEUE__API__MAX_SHARDS` shards ({api.max_shards:,})" in page
