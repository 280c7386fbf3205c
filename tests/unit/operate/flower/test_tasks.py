"""What Flower shows of a run, from the event that the bridge sends to what its templates get."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from celery.events.state import State, Task
from flower.utils.search import SearchDocument, parse_query

from dagy_queue.bridge.run_events import batch_event, run_event
from dagy_queue.ids import shard_id
from dagy_queue.ledger import Phase
from dagy_queue.operate.flower.tasks import MOST_CHILDREN, ShownState, details, format_task
from tests.unit.bridge.watched import AROUND, BATCH, ENDED, NOW, watched_batch, watched_run, watched_shard
from tests.unit.kit import TASK_ARN

FLOWERS_BUTTONS = ("STARTED", "RECEIVED", "RETRY")


@pytest.fixture(autouse=True)
def _no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


def kept(event: dict[str, Any]) -> Task:
    """Return a task as Flower keeps it."""
    state = State()
    state.event({"local_received": NOW, "clock": 1, **event})
    return state.tasks[event["uuid"]]


def shown(event: dict[str, Any]) -> Task:
    """Return a task as Flower shows it: it gives the hook a copy."""
    return format_task(copy.copy(kept(event)))


def run_in(phase: Phase, **fields: Any) -> Task:
    return shown(run_event(watched_run(phase, **fields), AROUND, NOW))


@pytest.mark.parametrize(
    ("phase", "button"),
    [
        (Phase.QUEUED, None),
        (Phase.HELD, "RECEIVED"),
        (Phase.SUBMITTED, "STARTED"),
        (Phase.PROVISIONING, "STARTED"),
        (Phase.RUNNING, "STARTED"),
        (Phase.RETRYING, "RETRY"),
        (Phase.SUCCEEDED, None),
        (Phase.FAILED, None),
        (Phase.CANCELLED, None),
    ],
)
def test_a_run_that_goes_on_has_the_button_that_ends_it(phase: Phase, button: str | None) -> None:
    state = run_in(phase).state
    assert [name for name in FLOWERS_BUTTONS if state == name] == ([button] if button else [])


def test_a_state_is_shown_by_its_own_name() -> None:
    state = ShownState("RUNNING")
    assert (f"{state}", json.dumps([state]), state == "RUNNING", state != "FAILURE") == (
        "RUNNING",
        '["RUNNING"]',
        True,
        True,
    )
    assert {state: 1}["RUNNING"] == 1


def test_what_a_run_is_stands_in_lines_with_where_to_look() -> None:
    lines = run_in(Phase.RUNNING).kwargs.splitlines()
    assert lines[0] == "flow            report"
    assert f"task            {TASK_ARN}" in lines
    (console,) = [line for line in lines if line.startswith("ECS console")]
    assert "https://us-east-1.console.aws.amazon.com/ecs/v2/clusters/dagy/tasks/0123456789abcdef" in console
    assert any(line.startswith("log ") and "cloudwatch" in line for line in lines)


def test_a_log_without_a_page_is_named() -> None:
    about = {"flow": "f", "log": "/group stream"}
    assert details(about, {}).splitlines()[-1] == "log   /group stream"


def test_a_failure_is_told_where_the_list_shows_it() -> None:
    task = run_in(Phase.FAILED)
    assert task.result == "failed: ValueError: no such year"
    assert task.traceback.startswith("ValueError: no such year\nwhat to do: read the log")


def test_a_run_without_a_result_shows_none() -> None:
    assert run_in(Phase.RUNNING).result == ""


def test_what_celery_alone_understands_is_left_out() -> None:
    task = run_in(Phase.RUNNING)
    names = ("worker", "root", "parent", "clock", "client", "exchange", "routing_key", "eta", "timestamp", "exception")
    assert [name for name in names if getattr(task, name) is not None] == []
    assert task.root_id is None, "it is the run itself"


def test_a_shard_leads_to_its_batch() -> None:
    task = shown(run_event(watched_shard(), AROUND, NOW))
    assert (task.parent_id, task.root_id) == (BATCH, BATCH)


def test_a_batch_leads_to_its_shards_and_its_callback() -> None:
    task = shown(batch_event(watched_batch(total=3, has_callback=True), AROUND, NOW))
    assert [child.id for child in task.children] == ["callback-1", *(shard_id(BATCH, shard) for shard in range(3))]
    assert f"state:FAILURE kwargs:batch={BATCH}" in task.kwargs


def test_a_large_batch_links_to_some_of_its_shards() -> None:
    task = shown(batch_event(watched_batch(total=10_000), AROUND, NOW))
    assert len(task.children) == MOST_CHILDREN


def test_a_batch_that_failed_shows_why_in_the_list() -> None:
    batch = watched_batch(counts={Phase.FAILED: 20}, ended_at=ENDED)
    assert shown(batch_event(batch, AROUND, NOW, "20 of 20 shards failed: ...")).result == "20 of 20 shards failed: ..."


def test_what_is_shown_is_ready_for_json() -> None:
    events = [run_event(watched_run(phase), AROUND, NOW) for phase in Phase]
    for event in [*events, batch_event(watched_batch(), AROUND, NOW)]:
        json.dumps(shown(event).as_dict())


def test_flower_finds_runs_by_what_they_are() -> None:
    document = SearchDocument.from_task(kept(run_event(watched_shard(), AROUND, NOW)))
    assert {"org=acme", f"batch={BATCH}", "correlation_id=nightly:3", "flow=report"} <= document.kwargs_pairs
    assert parse_query(f"state:FAILURE kwargs:batch={BATCH}")


@pytest.mark.parametrize(
    "fields",
    [
        {"kwargs": "{'flow': 'f'}", "routing_key": "dagy.launch"},
        {"kwargs": "{'flow': broken", "routing_key": "dagy.launch"},
        {"kwargs": "[" * 5000, "routing_key": "dagy.launch"},
        {"kwargs": None, "routing_key": "dagy.launch"},
        {"kwargs": "['flow', 'org', 'correlation_id']", "routing_key": "dagy.launch"},
        {"kwargs": "{'flow': 'f', 'org': 'o', 'correlation_id': 'c'}", "routing_key": "celery"},
    ],
)
def test_other_peoples_tasks_stay_as_they_are(fields: dict[str, Any]) -> None:
    task = Task(uuid="task", name="app.add", state="STARTED", worker="w", **fields)
    before = task.as_dict()
    assert format_task(task).as_dict() == before


def test_text_of_a_caller_stays_text() -> None:
    task = run_in(Phase.RUNNING, correlation_id="<script>alert(1)</script>")
    assert "<script>" in task.kwargs, "Flower escapes it, so it must not be escaped here"
