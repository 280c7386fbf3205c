"""Flower in a real browser: a batch goes through its states, runs are ended with a button, failures say why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dagy_queue import ContainerRequest, Phase, RunHandle, fan_out, launch
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ids import shard_id
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.watching import WatchLedger
from dagy_queue.local.free_port import free_port
from dagy_queue.local.readiness import flower_ready
from dagy_queue.local.stack import LocalStack
from scripts.screenshots_support.chromium import chromium
from tests.integration.browser import LOGIN, Browser
from tests.integration.conftest import ORG
from tests.integration.waiting import eventually, until_phase

PATIENCE = 90.0
PYTHON = ContainerRequest(org_id=ORG, image="python:3.12-slim")
SLOW_START = {"slow_start_probability": 1.0, "slow_start_seconds": 600}
STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
REFUSED = {"operations": {"RunTask": {"capacity_probability": 1.0}}}
SLOW_STARTS = {"operations": {"RunTask": {"capacity_probability": 0.0}}, "tasks": SLOW_START}
LOST = {"events": {"lose_probability": 1.0}}
UNTIL_SEEN = """
import pathlib, sys, time

while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.1)
sys.exit(int(sys.argv[2]))
"""
UNTIL_TOLD = """
import pathlib, signal, sys, time

def stop(*_):
    pathlib.Path(sys.argv[1]).write_text("stopped")
    sys.exit(143)

signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1]).write_text("running")
time.sleep(600)
"""


@pytest.fixture(scope="module")
def browser(flows: LocalStack) -> Iterator[Browser]:
    """Flower beside the stack of all tests, and a browser that is logged in."""
    port = free_port()
    flower = flows.spawn("flower", f"--port={port}", environment={"FLOWER_BASIC_AUTH": LOGIN})
    flower.wait_until(lambda: flower_ready(port), PATIENCE, "serving pages")
    with chromium() as driver:
        yield Browser(driver, port)
    flows.end(flower.name)


@pytest.fixture(autouse=True)
def _nothing_stays_wrong(flows: LocalStack) -> Iterator[None]:
    yield
    flows.admin("reset", {})


def until_shown(browser: Browser, task_id: str, state: str) -> dict[str, str]:
    """Wait until the list shows a task in a state; return its row."""

    def row() -> dict[str, str] | None:
        shown = browser.rows().get(task_id, {})
        seen.append(shown.get("state", "nothing"))
        return shown if seen[-1] == state else None

    seen: list[str] = []
    try:
        return eventually(row, f"{task_id} is shown as {state}", PATIENCE)
    except AssertionError as exc:
        exc.add_note(f"shown was {', '.join(dict.fromkeys(seen))}")
        raise


def test_a_batch_is_seen_going_through_its_states(flows: LocalStack, browser: Browser, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    flows.admin("faults", REFUSED)
    shards = [{"command": ["python", "-c", UNTIL_SEEN, str(seen), code]} for code in ("0", "3", "0")]
    batch = fan_out(PYTHON, shards=shards, correlation_id="seen")
    shard, failing = (shard_id(batch.batch_id, number) for number in (0, 1))
    assert until_shown(browser, shard, "HELD")["args"] == "acme, seen:0 of 3, 0.25 vCPU 0.5 GB"
    assert until_shown(browser, batch.batch_id, "HELD")["args"] == "acme, seen, 3 shards"
    flows.admin("faults", SLOW_STARTS)
    until_shown(browser, shard, "PROVISIONING")
    flows.admin("reset", {})
    until_shown(browser, shard, "RUNNING")
    assert "0 of 3 done" in until_shown(browser, batch.batch_id, "RUNNING")["result"]
    seen.touch()
    assert until_shown(browser, shard, "SUCCESS")["result"].startswith("exit code 0\narn:aws:ecs:")
    assert "failed (exit code 3)" in until_shown(browser, failing, "FAILURE")["result"]
    assert "1 of 3 shards failed: shard 1" in until_shown(browser, batch.batch_id, "FAILURE")["result"]

    whole = browser.details(batch.batch_id)
    children = [shard_id(batch.batch_id, number) for number in range(3)]
    assert whole["Children"].split() == children
    assert browser.details(shard)["Parent id"] == batch.batch_id
    found = browser.rows(f"?state=FAILURE%20kwargs:batch={batch.batch_id}")
    assert set(found) == {batch.batch_id, failing}, "the search that the page names"


def test_a_launch_that_ecs_has_taken_is_submitted(flows: LocalStack, browser: Browser) -> None:
    flows.admin("faults", LOST)
    run = launch(STUB.model_copy(update={"command": ("600", "0")}))
    until_shown(browser, run.run_id, "SUBMITTED")
    assert browser.details(run.run_id)["Keyword arguments"].count("arn:aws:ecs:") == 1
    flows.admin("reset", {})  # or the end of its task would be lost as well, and it would hold its slot for minutes
    run.cancel()
    until_phase(run, Phase.CANCELLED)


def test_a_run_is_ended_with_the_button_and_its_container_too(
    flows: LocalStack, browser: Browser, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    run = launch(PYTHON.model_copy(update={"command": ("python", "-c", UNTIL_TOLD, str(note))}))
    eventually(lambda: note.exists() and note.read_text() == "running", "its container runs", PATIENCE)
    until_shown(browser, run.run_id, "RUNNING")
    browser.open(f"/task/{run.run_id}")
    assert browser.buttons() == ["Terminate"]
    assert browser.press("task-terminate") == f"Revoked '{run.run_id}'"
    eventually(lambda: note.read_text() == "stopped", "its container is told to stop", PATIENCE)
    assert until_shown(browser, run.run_id, "REVOKED")["result"] == "cancelled: ended in Flower"
    assert run.entry().phase is Phase.CANCELLED
    ecs = AwsClients(flows.settings().aws).ecs_control
    (task,) = ecs.describe_tasks(cluster="dagy", tasks=[run.entry().task_arn])["tasks"]
    assert (task["lastStatus"], task["stoppedReason"]) == ("STOPPED", "dagy: ended in Flower")
    browser.open(f"/task/{run.run_id}")
    assert browser.buttons() == []


def test_a_held_run_is_revoked_with_the_button(flows: LocalStack, browser: Browser) -> None:
    flows.admin("faults", REFUSED)
    run = launch(STUB)
    row = until_shown(browser, run.run_id, "HELD")
    eventually(lambda: "not launched yet: " in browser.rows()[run.run_id]["result"], "it says why", PATIENCE)
    assert "0.25 vCPU" in row["args"]
    browser.open(f"/task/{run.run_id}")
    assert browser.buttons() == ["Revoke"]
    assert browser.press("task-revoke") == f"Revoked '{run.run_id}'"
    until_shown(browser, run.run_id, "REVOKED")


def test_a_button_of_an_old_page_stops_what_has_started_since(flows: LocalStack, browser: Browser) -> None:
    flows.admin("faults", REFUSED)
    run = launch(STUB.model_copy(update={"command": ("600", "0")}))
    until_shown(browser, run.run_id, "HELD")
    browser.open(f"/task/{run.run_id}")
    assert browser.buttons() == ["Revoke"]
    flows.admin("reset", {})
    eventually(lambda: run.entry().phase is Phase.RUNNING, "it runs", PATIENCE)
    browser.press("task-revoke")
    until_shown(browser, run.run_id, "REVOKED")


def test_the_button_of_a_batch_ends_all_of_its_shards(browser: Browser) -> None:
    batch = fan_out(STUB, shards=[{"command": ["600", "0"]}] * 3)
    until_shown(browser, batch.batch_id, "RUNNING")
    browser.open(f"/task/{batch.batch_id}")
    browser.press("task-terminate")
    row = until_shown(browser, batch.batch_id, "REVOKED")
    assert row["result"] == "cancelled: ended in Flower (3 of 3 done, 3 cancelled)"
    assert all(RunHandle(each).entry().phase is Phase.CANCELLED for each in (batch.shard(n).run_id for n in range(3)))


def test_a_failure_says_why_and_what_to_do_and_its_text_stays_text(browser: Browser) -> None:
    hostile = "<img src=x onerror=\"document.title='taken over'\">"
    run = launch(flow_name="broken", org_id=ORG, parameters={"message": hostile})
    assert hostile in until_shown(browser, run.run_id, "FAILURE")["result"]
    page = browser.details(run.run_id)
    assert f"ValueError in task 'explode': {hostile}" in page["Traceback"]
    assert "what to do: " in page["Traceback"]
    assert "logs get-log-events" in page["Keyword arguments"]
    assert browser.driver.title.startswith("broken")


def test_the_workers_page_counts_containers(flows: LocalStack, browser: Browser) -> None:
    run = launch(STUB.model_copy(update={"command": ("600", "0")}))
    until_shown(browser, run.run_id, "RUNNING")
    watch = WatchLedger(RedisConnection(flows.settings().redis))

    def counts() -> bool:
        shown = browser.workers().get("ecs@dagy.us-east-1", [])
        return shown[:2] == ["Online", str(watch.tasks_in("us-east-1/dagy"))]

    eventually(counts, "the cluster shows its tasks in flight", PATIENCE)
    assert watch.tasks_in("us-east-1/dagy") >= 1
    run.cancel()


def test_nothing_on_the_pages_fails(browser: Browser) -> None:
    for path in ("/", "/tasks", "/broker"):
        browser.open(path)
    severe = [entry for entry in browser.driver.get_log("browser") if entry["level"] == "SEVERE"]  # type: ignore[no-untyped-call]
    assert severe == []
