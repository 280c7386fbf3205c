"""The command line as its users run it: real processes against a real stack, in pipes and in terminals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dagy_queue import BatchHandle, ContainerRequest, Phase, RunHandle, fan_out, launch
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import ORG, TIMEOUT
from tests.integration.terminal import CTRL_C, Terminal
from tests.integration.waiting import until_phase

COMMAND = [str(Path(sys.executable).parent / "dagy-queue")]
STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
GOOD, BAD, LONG = {"command": ["0", "0"]}, {"command": ["0", "3"]}, {"command": ["3600", "0"]}
PRINTS = "import sys; print('working'); print('no luck', file=sys.stderr, flush=True); sys.exit(7)"


@pytest.fixture(autouse=True)
def _stack(flows: LocalStack) -> None:
    """Every test here needs the stack."""


def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
    """Run a command in pipes, and return its stdout."""
    done = subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done.stdout.strip()


def in_terminal(*arguments: str) -> Terminal:
    return Terminal([*COMMAND, *arguments], os.environ)


def test_a_run_is_launched_followed_explained_read_and_tried_again() -> None:
    run_id = run("launch", "--org", ORG, "--image", "python:3.12-slim", "--wait", "--", "python", "-c", PRINTS, code=7)
    assert run("results", run_id, code=1).startswith("FAILED: the container failed (exit code 7)")
    assert sorted(run("logs", run_id).splitlines()) == ["no luck", "working"]
    assert run("logs", run_id, "--grep", "luck", "--follow") == "no luck"
    again = run("retry", run_id)
    assert run("watch", again, code=7).splitlines()[-1].startswith("task ")
    assert again != run_id


def test_a_flow_takes_its_parameters_and_returns_its_value() -> None:
    run_id = run("launch", "echo", "--org", ORG, "--param", 'value={"n": [1, 2]}', "--wait")
    assert json.loads(run("results", run_id)) == {"n": [1, 2]}
    assert (
        json.loads(run("launch", "echo", "--org", ORG, "--param", "value=1", "--wait", "--json"))["status"]
        == "SUCCEEDED"
    )


def test_shards_come_from_standard_input_and_their_results_in_order() -> None:
    rows = "".join(json.dumps({"value": number}) + "\n" for number in range(5))
    batch_id = run("fan-out", "echo", "--org", ORG, "--file", "-", "--wait", stdin=rows)
    assert [json.loads(line)["value"] for line in run("results", batch_id, "--json").splitlines()] == list(range(5))
    assert sum("INFO" in line for line in run("logs", batch_id).splitlines()) >= 5


def test_a_batch_with_a_failing_shard_is_shown_explained_and_tried_again() -> None:
    said = ["--org", ORG, "--image", "python:3.12-slim", "--range", "n=0:3"]
    code = "import sys; print('shard', {n}); sys.exit({n} == 1)"
    batch_id = run("fan-out", *said, "--", "python", "-c", code)
    lines = run("watch", batch_id, code=1).splitlines()
    assert "shard 1 failed: the container failed (exit code 1)" in lines
    assert lines[-1].startswith("3 of 3 ended; ")
    status = run("status", batch_id)
    assert "1x the container failed (exit code 1)" in status
    assert run("logs", f"{batch_id}:1") == "shard 1"
    assert json.loads(run("explain", batch_id, "--json"))["log_lines"] == ["shard 1"]
    representative = subprocess.run(
        [*COMMAND, "logs", batch_id, "--representative"], capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    assert representative.stdout == ""
    assert re.fullmatch(r"=== dagy/worker/\w+ ===\n\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] shard 1\n", representative.stderr)
    again = run("retry", batch_id, "--failed")
    run("results", again, "--wait", code=1)
    assert [row["run_id"] for row in json.loads(run("list", "--batch", again, "--json"))] == [
        BatchHandle(again).shard(0).run_id
    ]


def test_what_is_cancelled_ends() -> None:
    batch = fan_out(STUB, [LONG, LONG])
    until_phase(batch.shard(0), Phase.RUNNING)
    assert "its containers are being stopped" in run("cancel", batch.batch_id, "--reason", "enough")
    assert run("watch", batch.batch_id, code=1).splitlines()[-1] == "2 of 2 ended; 2 cancelled"


def test_a_log_is_followed_while_the_container_writes_it() -> None:
    code = "import time\nfor n in range(3): print('line', n, flush=True); time.sleep(1)"
    run_id = run("launch", "--org", ORG, "--image", "python:3.12-slim", "--", "python", "-c", code)
    child = subprocess.Popen([*COMMAND, "logs", run_id, "--follow"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    first = child.stdout.readline()
    assert first == "line 0\n"
    assert child.stdout.read() == "line 1\nline 2\n"
    assert child.wait(TIMEOUT) == 0
    child.stdout.close()


def test_the_doctor_finds_nothing_wrong_and_its_canary_comes_back() -> None:
    found = json.loads(run("doctor", "--canary", "--json"))
    assert found["ok"] is True
    assert {check["mark"] for check in found["checks"]} <= {"ok", "skipped", "warning"}
    names = [check["name"] for check in found["checks"] if check["mark"] == "ok"]
    assert {"redis", "dispatchers", "bridge", "credentials", "cluster", "table", "event rule", "canary"} <= set(names)


def test_the_doctor_tells_what_is_broken_and_how_to_mend_it(flows: LocalStack) -> None:
    broken = {
        "DAGY_ECS_LOG_GROUP": "/no/such/group",
        "DAGY_ARTIFACT_BUCKET": "no-such-bucket",
        "DAGY_ECS_CLUSTER_ARN": "no-such-cluster",
        "DAGY_QUEUE__RECORDS__RUNS_TABLE": "NO_SUCH_TABLE",
    }
    done = subprocess.run(
        [*COMMAND, "doctor", "--json"], capture_output=True, text=True, env={**os.environ, **broken}, check=False
    )
    assert done.returncode == 1
    errors = {check["name"]: check for check in json.loads(done.stdout)["checks"] if check["mark"] == "error"}
    assert set(errors) == {"log group", "artifact bucket", "cluster", "table"}
    assert all(check["resolution"] for check in errors.values())


def test_what_cannot_be_reached_is_told_by_its_exit_code() -> None:
    away = {**os.environ, "DAGY_REDIS_URL": "redis://127.0.0.1:1/0"}
    done = subprocess.run([*COMMAND, "list"], capture_output=True, text=True, env=away, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert "`dagy-queue up` starts one" in done.stderr


def test_a_terminal_shows_a_batch_live_and_is_whole_after_ctrl_c(flows: LocalStack) -> None:
    batch = fan_out(STUB, [BAD, GOOD, *[LONG] * 8], max_parallel=6)
    with in_terminal("watch", batch.batch_id) as terminal:
        text = terminal.until("shard 0 failed: the container failed (exit code 3)")
        text = terminal.until("2 of 10 ended")
        assert f"batch {batch.batch_id}: stub:latest for {ORG}" in text or "dagy-local/stub:latest" in text
        assert "running" in text
        terminal.press(CTRL_C)
        assert terminal.end() == 130
        assert terminal.is_whole
        assert "2 of 10 ended" in terminal.text()
        said = f"batch {batch.batch_id} goes on: `dagy-queue watch {batch.batch_id}` follows it again"
        assert "".join(said.split()) in "".join(terminal.text().split())
    assert batch.progress().by_phase[Phase.RUNNING] >= 1
    batch.cancel()


def test_a_terminal_is_whole_after_sigterm_as_well() -> None:
    batch = fan_out(STUB, [LONG])
    with in_terminal("watch", batch.batch_id) as terminal:
        terminal.until("0 of 1 ended")
        terminal.terminate()
        assert terminal.end() == 143
        assert terminal.is_whole
    batch.cancel()


def test_a_terminal_shows_the_steps_of_a_run_and_what_it_waits_for() -> None:
    with in_terminal("launch", "--org", ORG, "--image", "dagy-local/stub", "--wait", "--", "3600", "0") as terminal:
        text = terminal.until("RUNNING for")
        run_id = text.splitlines()[0]
        RunHandle(run_id).cancel("enough")
        assert terminal.until("what happened  enough")
        assert terminal.end() == 1
        assert terminal.is_whole


def test_everything_is_shown_as_it_comes() -> None:
    with in_terminal("watch") as terminal:
        terminal.until("everything that goes on")
        failing = launch(STUB, command=("0", "5"))
        terminal.until(f"run {failing.run_id} failed: the container failed (exit code 5)")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
        assert "everything goes on" in terminal.text()
        assert terminal.is_whole


def test_a_terminal_has_colour_unless_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    with in_terminal("doctor") as terminal:
        terminal.end()
        assert b"\x1b[32mok" in terminal.raw
    monkeypatch.setenv("NO_COLOR", "1")
    with in_terminal("doctor") as terminal:
        terminal.end()
        assert b"\x1b[3" not in terminal.raw
