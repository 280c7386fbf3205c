"""docker-compose.yml: what it says is right by the specification, and what it starts works together."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import httpx2
import pytest

from dagy_queue.local.environment import exports
from dagy_queue.local.provision import Provisioned
from dagy_queue.local.stack import UNLIMITED
from scripts.demo_support.attached import read_environment
from tests.integration.compose_kit import ROOT, ComposeUp, interpolate, read_compose
from tests.integration.waiting import eventually

pytestmark = pytest.mark.alone

ENV_FILE = ROOT / "compose.env"
TOKEN = {"Authorization": "Bearer local-acme-token"}
OURS = ("aws", "dispatcher", "bridge", "flower", "api")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeUp]:
    """The services of the file, all healthy."""
    services = ComposeUp(tmp_path_factory.mktemp("compose"))
    try:
        services.start()
        yield services
    finally:
        services.kill()


def environment_of_a_program(up: ComposeUp) -> dict[str, str]:
    """Return compose.env with this test's ports instead of the published ones."""
    published = {"6399": up.here.ports["6379"], "4566": up.here.ports["4566"]}
    text = ENV_FILE.read_text()
    for port, here in published.items():
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{here}")
    return read_environment(text)


def test_the_demo_runs_against_it(up: ComposeUp, tmp_path: Path) -> None:
    file = tmp_path / "compose.env"
    file.write_text(exports(environment_of_a_program(up)))
    command = [sys.executable, "-m", "scripts.demo_support", "--shards", "4", "--against", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 succeeded" in done.stdout
    assert "agrees with one process on the raw data" in done.stdout


def test_a_run_is_launched_through_its_api_and_seen_in_flower(up: ComposeUp, tmp_path: Path) -> None:
    flow = tmp_path / "greeting.py"
    flow.write_text(
        "from dagy import flow\n\n\n@flow(name='greeting', version='1.0.0')\ndef greeting(name: str):\n"
        "    return f'Hello, {name}!'\n"
    )
    program = {**up.environment("api"), **environment_of_a_program(up)}
    push = ["dagy-queue", "flow", "push", str(flow), "--org", "acme"]
    subprocess.run(push, env=program, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    api = f"http://127.0.0.1:{up.here.ports['8080']}"
    with httpx2.Client(base_url=api, headers=TOKEN, timeout=20) as client:
        accepted = client.post("/flows/greeting/runs", json={"parameters": {"name": "Ada"}}).json()
        run = f"/runs/{accepted['run_id']}"
        status = eventually(lambda: ended(client.get(run).json()), "the run ends")
        assert (status["status"], status["org_id"]) == ("SUCCEEDED", "acme")
        assert client.get(f"{run}/result").json()["result"] == "Hello, Ada!"
        assert httpx2.get(f"{api}{run}").status_code == 401
    page = f"http://127.0.0.1:{up.here.ports['5555']}/task/{accepted['run_id']}"
    assert httpx2.get(page, timeout=20).status_code == 401

    def is_shown() -> bool:
        seen = httpx2.get(page, timeout=20, auth=("local", "local"))
        return seen.status_code == 200 and ">SUCCESS<" in seen.text

    eventually(is_shown, "Flower shows that it succeeded")


def ended(status: dict[str, Any]) -> dict[str, Any] | None:
    return None if status["status"] in ("QUEUED", "RUNNING") else status


def test_every_service_stops_in_its_time_when_it_is_told_to(up: ComposeUp) -> None:
    codes = up.stop()
    assert {name: codes[name] for name in ("redis", "aws", "dispatcher", "bridge", "api")} == {
        "redis": 0,
        "aws": 0,
        "dispatcher": 0,
        "bridge": 0,
        "api": 0,
    }


def test_the_specification_has_everything_that_the_file_says() -> None:
    for environ in ({}, {"REDIS_PORT": "7000", "API_TOKEN_HASH": "0" * 64}):
        compose = compose_spec.PyCompose.from_json(json.dumps(read_compose(environ)))
        compose.validate()
    wrong = read_compose()
    wrong["services"]["api"]["helthcheck"] = {}
    with pytest.raises(ValueError, match="helthcheck"):
        compose_spec.PyCompose.from_json(json.dumps(wrong))


def test_variables_are_put_in_as_by_the_specification() -> None:
    assert interpolate("${A:-b} ${C} $$(hostname) ${A}", {"A": "1"}) == "1  $(hostname) 1"
    tokens = read_compose({"API_TOKEN_HASH": "0" * 64})["services"]["api"]["environment"]["DAGY_QUEUE__API__TOKENS"]
    assert json.loads(tokens) == {"acme": ["0" * 64]}


@pytest.mark.parametrize("name", [*OURS, "redis"])
def test_every_service_is_watched_restarted_and_locked_down(name: str) -> None:
    service = read_compose()["services"][name]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_nothing_is_published_beyond_loopback() -> None:
    ports = [port for service in read_compose()["services"].values() for port in service.get("ports", ())]
    assert sorted(ports) == ["127.0.0.1:4566:4566", "127.0.0.1:5555:5555", "127.0.0.1:6399:6379", "127.0.0.1:8080:8080"]


def test_a_service_waits_for_what_it_needs() -> None:
    needs = {name: set(service.get("depends_on", ())) for name, service in read_compose()["services"].items()}
    assert needs == {
        "redis": set(),
        "aws": set(),
        "dispatcher": {"redis", "aws"},
        "bridge": {"redis", "aws"},
        "flower": {"redis"},
        "api": {"redis"},
    }


def test_services_and_programs_have_the_environment_that_provisioning_makes() -> None:
    made = Provisioned(
        endpoint_url="http://aws:4566",
        redis_url="redis://redis:6379/0",
        region="us-east-1",
        account="000000000000",
        cluster_arn="arn:aws:ecs:us-east-1:000000000000:cluster/dagy",
        queue_url="http://aws:4566/000000000000/dagy-task-events",
        queue_arn="",
        dead_letter_url="",
        dead_letter_arn="",
        rule_arn="",
        log_group="/ecs/dagy-worker",
        tables=(),
    )
    proxies = ("NO_PROXY", "no_proxy")
    wanted = {name: value for name, value in {**made.environment(), **UNLIMITED}.items() if name not in proxies}
    assert read_compose()["x-environment"] == wanted
    outside = {
        name: value.replace("aws:4566", "127.0.0.1:4566").replace("redis:6379", "127.0.0.1:6399")
        for name, value in wanted.items()
    }
    found = {name: value for name, value in read_environment(ENV_FILE.read_text()).items() if name not in proxies}
    assert found == outside


def test_the_environment_of_programs_is_read_by_a_shell_as_by_the_demo() -> None:
    shown = subprocess.run(
        ["bash", "-c", f"set -a; source {shlex.quote(str(ENV_FILE))}; env -0"], env={}, capture_output=True, check=True
    )
    seen = dict(entry.split("=", 1) for entry in shown.stdout.decode().split("\0") if "=" in entry)
    assert read_environment(ENV_FILE.read_text()).items() <= seen.items()
