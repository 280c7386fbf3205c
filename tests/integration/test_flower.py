"""Flower as a process: what it knows after a restart, who may ask it, and what it tells Prometheus."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dagy_queue import ContainerRequest, Phase, fan_out, launch
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ids import shard_id
from dagy_queue.ledger import RedisConnection
from dagy_queue.local.environment import process_environment
from dagy_queue.local.free_port import free_port
from dagy_queue.local.readiness import flower_ready
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import TIMEOUT, stack_of_its_own
from tests.integration.waiting import eventually

STUB = ContainerRequest(org_id="acme", image="dagy-local/stub:latest")
LONG = STUB.model_copy(update={"command": ("600", "0")})
LOGIN = "dagy:secret"
PATIENCE = 60.0


class Flower:
    """A running Flower, and its HTTP API."""

    def __init__(self, stack: LocalStack, *arguments: str, label: str = "flower", login: str = LOGIN) -> None:
        self.port = free_port()
        self.login = login
        environment = {"FLOWER_BASIC_AUTH": login} if login else {}
        self.child = stack.spawn("flower", f"--port={self.port}", *arguments, label=label, environment=environment)
        self.child.wait_until(lambda: flower_ready(self.port), PATIENCE, "serving pages")

    def ask(self, path: str, *, method: str = "GET", login: str | None = None, **headers: str) -> bytes:
        token = base64.b64encode((self.login if login is None else login).encode()).decode()
        given = {"Authorization": f"Basic {token}"} if token else {}
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, method=method, headers={**given, **headers})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body

    def tasks(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = json.loads(self.ask("/api/tasks"))
        return found

    def state(self, task_id: str) -> str:
        return str(self.tasks().get(task_id, {}).get("state", "nothing"))

    def until(self, task_id: str, state: str) -> None:
        eventually(lambda: self.state(task_id) == state, f"{task_id} is {state} in Flower", PATIENCE)

    def metric(self, beginning: str) -> float:
        lines = self.ask("/metrics").decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(beginning))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with stack_of_its_own(tmp_path_factory.mktemp("flower")) as stack:
        stack.spawn("dispatcher")
        stack.spawn("bridge", environment={"DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "1"})
        yield stack


@pytest.fixture(scope="module")
def flower(running: LocalStack) -> Flower:
    return Flower(running)


def test_what_was_launched_before_it_started_is_shown_as_it_is_now(running: LocalStack) -> None:
    over, going = launch(STUB), launch(LONG)
    assert over.get(timeout=TIMEOUT)
    eventually(lambda: going.entry().phase is Phase.RUNNING, "it runs")
    late = Flower(running, label="late")
    late.until(over.run_id, "SUCCESS")
    late.until(going.run_id, "RUNNING")
    running.end("late")
    going.cancel()


def test_what_it_keeps_is_there_after_a_restart_and_what_it_missed_as_well(running: LocalStack, tmp_path: Path) -> None:
    state = tmp_path / "state" / "flower"
    first = Flower(running, f"--persistent={state}", label="kept")
    seen, going = launch(STUB), launch(LONG)
    first.until(seen.run_id, "SUCCESS")
    first.until(going.run_id, "RUNNING")
    first.child.terminate()
    eventually(lambda: first.child.poll() == 0, "it ends well when it is told to", PATIENCE)
    files = list(state.parent.iterdir())
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    ledger = RedisConnection(running.settings().redis)
    ledger.client.delete(ledger.key("run", seen.run_id))  # so that nobody but its file knows
    going.cancel()
    eventually(lambda: going.entry().phase is Phase.CANCELLED, "it is cancelled meanwhile")
    missed = launch(STUB)
    assert missed.get(timeout=TIMEOUT)
    second = Flower(running, f"--persistent={state}", label="kept")
    second.until(seen.run_id, "SUCCESS")
    second.until(missed.run_id, "SUCCESS")
    second.until(going.run_id, "REVOKED")
    running.end("kept")


def test_no_more_is_kept_in_memory_than_it_is_told(running: LocalStack) -> None:
    small = Flower(running, "--max-tasks=5", label="small")
    batch = fan_out(STUB, shards=[{}] * 20)
    assert len(batch.get(timeout=TIMEOUT)) == 20
    small.until(batch.batch_id, "SUCCESS")
    assert len(small.tasks()) <= 5
    running.end("small")


def test_its_api_ends_runs_and_their_containers(running: LocalStack, flower: Flower) -> None:
    run = launch(LONG)
    flower.until(run.run_id, "RUNNING")
    answer = json.loads(flower.ask(f"/api/task/revoke/{run.run_id}?terminate=true", method="POST"))
    assert answer == {"message": f"Revoked '{run.run_id}'"}
    flower.until(run.run_id, "REVOKED")
    assert run.entry().cancel_reason == "ended in Flower"
    ecs = AwsClients(running.settings().aws).ecs_control
    (task,) = ecs.describe_tasks(cluster="dagy", tasks=[run.entry().task_arn])["tasks"]
    assert (task["lastStatus"], task["stoppedReason"]) == ("STOPPED", "dagy: ended in Flower")


def test_its_api_ends_a_batch(flower: Flower) -> None:
    batch = fan_out(LONG, shards=[{}] * 2)
    flower.until(shard_id(batch.batch_id, 1), "RUNNING")
    flower.ask(f"/api/task/revoke/{batch.batch_id}", method="POST")
    flower.until(batch.batch_id, "REVOKED")
    flower.until(shard_id(batch.batch_id, 1), "REVOKED")


@pytest.mark.parametrize("path", ["/", "/tasks", "/api/tasks", "/api/workers"])
@pytest.mark.parametrize("login", ["", "dagy:wrong", "nobody:secret"])
def test_nothing_of_runs_is_shown_without_the_login(flower: Flower, path: str, login: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        flower.ask(path, login=login)


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}])
def test_pages_of_others_cannot_press_its_buttons(flower: Flower, headers: dict[str, str]) -> None:
    run = launch(LONG)
    flower.until(run.run_id, "RUNNING")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        flower.ask(f"/api/task/revoke/{run.run_id}?terminate=true", method="POST", **headers)
    assert run.entry().phase is Phase.RUNNING
    run.cancel()


def test_without_a_login_it_can_only_be_looked_at(running: LocalStack) -> None:
    run = launch(LONG)
    eventually(lambda: run.entry().phase is Phase.RUNNING, "it runs")
    looked_at = Flower(running, label="open", login="")

    def page() -> str:
        try:
            return looked_at.ask(f"/task/{run.run_id}").decode()
        except urllib.error.HTTPError:
            return ""

    text = eventually(lambda: page() if ">RUNNING<" in page() else "", "it is shown as running", PATIENCE)
    assert "task-terminate" not in text
    with pytest.raises(urllib.error.HTTPError, match="401"):
        looked_at.ask(f"/api/task/revoke/{run.run_id}?terminate=true", method="POST")
    running.end("open")
    run.cancel()


def test_prometheus_gets_counts_and_runtimes_by_flow(flower: Flower) -> None:
    labels = '{task="dagy-local/stub:latest",type="task-succeeded",worker="ecs@dagy.us-east-1"}'
    before = flower.metric(f"flower_events_total{labels}")
    run = launch(STUB)
    flower.until(run.run_id, "SUCCESS")
    assert flower.metric(f"flower_events_total{labels}") >= before + 1
    assert flower.metric("flower_task_runtime_seconds_count{") >= 1
    assert flower.metric("flower_worker_prefetched_tasks{") == 0


def test_behind_a_prefix_its_pages_are_there(running: LocalStack) -> None:
    port = free_port()
    environment = {"FLOWER_BASIC_AUTH": LOGIN}
    running.spawn("flower", f"--port={port}", "--url-prefix=flower", label="prefixed", environment=environment)
    token = base64.b64encode(LOGIN.encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/flower/tasks", headers={"Authorization": f"Basic {token}"}
    )

    def is_there() -> bool:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return b'src="/flower/static/' in answer.read()
        except OSError:
            return False

    eventually(is_there, "the page is there, and finds its scripts", PATIENCE)
    running.end("prefixed")


def test_it_does_not_open_itself_to_others_without_a_login(running: LocalStack) -> None:
    command = [sys.executable, "-m", "dagy_queue.operate.cli", "flower", "--address=0.0.0.0"]
    environment = process_environment(running.environment)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("dagy-queue: Flower would listen on 0.0.0.0 without a login")


def test_a_flower_outlives_the_restart_of_redis_and_shows_what_it_missed(running: LocalStack, flower: Flower) -> None:
    going = launch(LONG)
    flower.until(going.run_id, "RUNNING")
    running.redis.restart()
    going.cancel()
    flower.until(going.run_id, "REVOKED")


def test_ctrl_c_ends_it(running: LocalStack) -> None:
    short = Flower(running, label="short")
    os.kill(short.child.pid, signal.SIGINT)
    eventually(lambda: short.child.poll() is not None, "it ends", PATIENCE)
    running.end("short")


def test_events_can_be_turned_off(running: LocalStack, flower: Flower) -> None:
    off = {"DAGY_QUEUE__MONITOR__EVENTS": "false"}
    for child in [child.name for child in running.children if child.name.startswith(("dispatcher", "bridge"))]:
        running.end(child)
    running.spawn("dispatcher", label="dispatcher", environment=off)
    running.spawn("bridge", label="bridge", environment=off | {"DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "1"})
    run = launch(STUB)
    assert run.get(timeout=TIMEOUT)
    flower.until(run.run_id, "SUCCESS")
    assert flower.tasks()[run.run_id]["name"] == "dagy.launch", "Celery's own event"
    assert not RedisConnection(running.settings().redis).client.exists("dagy:watched")
