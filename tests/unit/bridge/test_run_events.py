"""The task events of runs and batches, read by Celery's own ``State``, which is what Flower shows."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from celery.events.state import State, Task
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.bridge.run_events import batch_event, entered_event, run_event
from dagy_queue.ledger import Phase
from tests.unit.bridge.watched import (
    AROUND,
    BATCH,
    CREATED,
    ENDED,
    FAILED,
    NOW,
    STARTED,
    watched_batch,
    watched_run,
    watched_shard,
)
from tests.unit.kit import TASK_ARN

SHOWN = {
    Phase.QUEUED: "PENDING",
    Phase.HELD: "HELD",
    Phase.SUBMITTING: "HELD",
    Phase.SUBMITTED: "SUBMITTED",
    Phase.PROVISIONING: "PROVISIONING",
    Phase.PENDING: "PROVISIONING",
    Phase.RUNNING: "RUNNING",
    Phase.STOPPED: "RUNNING",
    Phase.RETRYING: "RETRY",
    Phase.SUCCEEDED: "SUCCESS",
    Phase.FAILED: "FAILURE",
    Phase.CANCELLED: "REVOKED",
}
LIVES = (
    (Phase.QUEUED, Phase.HELD, Phase.SUBMITTING, Phase.SUBMITTED, Phase.PROVISIONING, Phase.PENDING, Phase.RUNNING),
    (Phase.STOPPED, Phase.RETRYING, Phase.HELD, Phase.SUBMITTED, Phase.RUNNING, Phase.STOPPED),
)
LAST = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)
_clock = itertools.count(1)


def seen(events: Iterable[dict[str, Any]], state: State | None = None) -> State:
    """Return what a monitor has of events, as its receiver hands them on."""
    state = state or State()
    for event in events:
        state.event({"local_received": NOW, "clock": next(_clock), **event})
    return state


def task_of(*events: dict[str, Any], task_id: str = "run-1") -> Task:
    return seen(events).tasks[task_id]


def of(phase: Phase, **fields: Any) -> dict[str, Any]:
    return run_event(watched_run(phase, **fields), AROUND, NOW)


@pytest.mark.parametrize(("phase", "shown"), SHOWN.items())
def test_every_phase_has_a_state(phase: Phase, shown: str) -> None:
    assert task_of(of(phase)).state == shown


@given(st.lists(st.sampled_from(range(len(LIVES[0]) + len(LIVES[1]))), max_size=30), st.sampled_from(LAST))
def test_whatever_is_missed_or_comes_twice_the_display_ends_right(picks: list[int], last: Phase) -> None:
    life = [*LIVES[0], *LIVES[1]]
    told = [life[index] for index in sorted(picks)] + [last, last]
    state = seen(of(phase) for phase in told)
    assert state.tasks["run-1"].state == SHOWN[last]


@given(st.lists(st.sampled_from(LIVES[0]), min_size=1, max_size=10))
def test_an_announcement_shows_at_once_whatever_was_shown_before(phases: Sequence[Phase]) -> None:
    before: State | None = None
    for phase in phases:
        before = seen([of(phase)], before)
        if phase is not Phase.QUEUED:  # that may come late from a producer, and Celery ranks it lowest
            assert before.tasks["run-1"].state == SHOWN[phase]


@pytest.mark.parametrize("last", LAST)
def test_a_late_event_of_a_producer_does_not_turn_an_end_back(last: Phase) -> None:
    sent = {"type": "task-sent", "uuid": "run-1", "hostname": "app", "timestamp": NOW}
    assert task_of(of(last), sent).state == SHOWN[last]


def test_a_run_that_enters_is_counted_as_received_and_not_as_prefetched() -> None:
    event = entered_event(watched_run(Phase.HELD), AROUND, NOW)
    state = seen([event, of(Phase.HELD)])
    assert (state.task_count, state.tasks["run-1"].state) == (1, "HELD")
    assert state.tasks["run-1"].eta, "Flower leaves tasks with an ETA out of its gauge of prefetched tasks"


def test_a_run_that_had_entered_is_not_turned_back_by_it() -> None:
    assert task_of(of(Phase.RUNNING), entered_event(watched_run(), AROUND, NOW)).state == "RUNNING"


def test_times_are_those_of_the_run_and_not_of_the_announcement() -> None:
    task = task_of(of(Phase.SUCCEEDED, completion={"outcome": {"kind": "succeeded"}}))
    moments = (task.received, task.started, task.succeeded, task.timestamp)
    assert moments == (CREATED.timestamp(), STARTED.timestamp(), ENDED.timestamp(), NOW)
    assert task.runtime == 120.0


def test_the_runtime_is_that_of_the_last_container_where_ecs_tells_it() -> None:
    times = {"startedAt": "2027-01-15T08:02:00Z", "stoppedAt": "2027-01-15T08:02:42.5Z"}
    assert task_of(of(Phase.FAILED, completion={"outcome": FAILED, **times})).runtime == 42.5


def test_a_success_says_what_was_returned_and_by_which_task() -> None:
    run = watched_run(Phase.SUCCEEDED, completion={"outcome": {"kind": "succeeded", "summary": "ok"}})
    assert task_of(run_event(run, AROUND, NOW, '{"rows": 3}')).result == f'{{"rows": 3}}\n{TASK_ARN}'
    assert task_of(run_event(run, AROUND, NOW)).result == f"ok\n{TASK_ARN}"


def test_a_container_that_succeeded_says_so() -> None:
    request = {"kind": "container", "image": "python:3.12", "org_id": "acme"}
    run = watched_run(Phase.SUCCEEDED, request=request, completion={"outcome": {"kind": "succeeded", "exit_code": 0}})
    assert task_of(run_event(run, AROUND, NOW, '{"run_id": "run-1"}')).result == f"exit code 0\n{TASK_ARN}"


def test_a_failure_says_what_happened_and_what_to_do() -> None:
    task = task_of(of(Phase.FAILED))
    assert task.exception == "failed: ValueError: no such year"
    assert task.traceback.splitlines() == [
        "ValueError: no such year",
        "what to do: read the log",
        "exit code: 1",
        f"task: {TASK_ARN}",
        "detail:",
        "Traceback",
        "  line 1",
    ]


def test_what_is_new_in_an_outcome_is_told_as_well() -> None:
    outcome = FAILED | {"log_lines": ["one", "two"], "nothing": "", "nested": {"left": "out"}}
    text = task_of(of(Phase.FAILED, completion={"outcome": outcome})).traceback
    assert text.endswith("log lines:\none\ntwo")
    assert "nothing" not in text
    assert "nested" not in text


def test_a_retry_says_why_there_is_one() -> None:
    task = task_of(of(Phase.RETRYING, retries=1, ended_before=FAILED))
    assert (task.state, task.exception, task.retries) == ("RETRY", "failed: ValueError: no such year", 1)


def test_a_run_that_is_tried_again_leaves_retry() -> None:
    assert task_of(of(Phase.RETRYING), of(Phase.HELD, retries=1)).state == "HELD"


def test_a_held_run_says_what_refused_its_launch() -> None:
    assert task_of(of(Phase.HELD, refusal="no room")).result == "not launched yet: no room"


def test_a_cancelled_run_says_why() -> None:
    task = task_of(of(Phase.CANCELLED, cancel_reason="no longer wanted"))
    assert task.exception == "cancelled: no longer wanted"


def test_a_shard_hangs_under_its_batch() -> None:
    state = seen([batch_event(watched_batch(), AROUND, NOW), run_event(watched_shard(), AROUND, NOW)])
    batch, shard = state.tasks[BATCH], state.tasks["run-1"]
    assert (shard.parent_id, shard.root_id, shard.parent) == (BATCH, BATCH, batch)
    assert list(batch.children) == [shard]


def test_a_run_of_a_chain_hangs_under_the_task_before_it() -> None:
    task = task_of(of(Phase.HELD, parent_id="first", root_id="chain"))
    assert (task.parent_id, task.root_id) == ("first", "chain")


def test_what_a_run_is_can_be_read_and_searched() -> None:
    task = task_of(run_event(watched_shard(change={"memory": 2048, "cpu": 512}), AROUND, NOW))
    assert (task.name, task.args) == ("report", "acme, nightly:3 of 20, 0.5 vCPU 2 GB")
    assert ast.literal_eval(task.kwargs) == {
        "flow": "report",
        "org": "acme",
        "correlation_id": "nightly:3",
        "batch": BATCH,
        "shard": 3,
        "shards": 20,
        "size": "0.5 vCPU 2 GB",
        "attempt": 1,
        "cluster": "us-east-1/dagy",
        "capacity": "FARGATE_SPOT",
        "task": TASK_ARN,
        "log": "/ecs/dagy-worker dagy/worker/0123456789abcdef",
    }


def test_a_size_is_told_however_a_shard_has_it() -> None:
    request = {"kind": "container", "image": "job", "cpu": "2 vCPU", "memory": "4 GB"}
    assert task_of(run_event(watched_shard(request=request), AROUND, NOW)).args == "acme, nightly:3 of 20, 2 vCPU 4 GB"


def test_ids_that_only_repeat_others_are_left_out_of_the_line() -> None:
    assert task_of(of(Phase.HELD, correlation_id="run-1")).args == "acme, 0.25 vCPU 0.5 GB"
    shard = run_event(watched_shard(correlation_id=f"{BATCH}:3"), AROUND, NOW)
    assert task_of(shard).args == "acme, shard 3 of 20, 0.25 vCPU 0.5 GB"


def test_nothing_that_may_be_secret_is_told() -> None:
    request = {
        "kind": "flow",
        "parameters": {"password": "hunter2"},
        "extra_env_vars": {"TOKEN": "hunter2"},
        "secrets": {"KEY": "hunter2"},
        "metadata": {"note": "hunter2"},
    }
    events = [run_event(watched_run(phase, request=request), AROUND, NOW) for phase in Phase]
    assert "hunter2" not in repr(events)


@pytest.mark.parametrize("phase", list(Phase))
def test_every_event_keeps_a_run_out_of_flowers_gauge_of_prefetched_tasks(phase: Phase) -> None:
    assert of(phase)["eta"]
    assert batch_event(watched_batch(), AROUND, NOW)["eta"]


def test_the_cluster_is_the_worker() -> None:
    assert task_of(of(Phase.HELD)).worker.hostname == "ecs@dagy.us-east-1"
    assert task_of(of(Phase.HELD, pool="eu-west-1/blue|EC2")).worker.hostname == "ecs@blue.eu-west-1"
    assert of(Phase.RUNNING, pool="")["hostname"] == "ecs@dagy.us-east-1"


@pytest.mark.parametrize(
    ("fields", "state", "result"),
    [
        ({"counts": {}}, "PENDING", "0 of 20 done"),
        ({"counts": {Phase.HELD: 20}}, "HELD", "0 of 20 done"),
        ({"counts": {Phase.HELD: 19, Phase.RUNNING: 1}}, "RUNNING", "0 of 20 done, 1 running"),
        ({"counts": {Phase.SUCCEEDED: 20}}, "RUNNING", "20 of 20 done"),
        ({"counts": {Phase.SUCCEEDED: 20}, "ended_at": ENDED}, "SUCCESS", "20 of 20 done"),
        (
            {"counts": {Phase.SUCCEEDED: 18, Phase.FAILED: 2}, "ended_at": ENDED},
            "FAILURE",
            "20 of 20 done, 2 failed",
        ),
        (
            {"counts": {Phase.SUCCEEDED: 18, Phase.FAILED: 2}, "ended_at": ENDED, "tolerated": 2},
            "SUCCESS",
            "20 of 20 done, 2 failed",
        ),
        (
            {"counts": {Phase.SUCCEEDED: 5, Phase.CANCELLED: 15}, "ended_at": ENDED, "cancel_reason": "enough"},
            "REVOKED",
            "cancelled: enough (20 of 20 done, 15 cancelled)",
        ),
        ({"counts": {}, "total": 0, "ended_at": ENDED, "refused": "line 3 is wrong"}, "FAILURE", "0 of 0 done"),
    ],
)
def test_a_batch_is_where_its_shards_are(fields: dict[str, Any], state: str, result: str) -> None:
    task = task_of(batch_event(watched_batch(**fields), AROUND, NOW), task_id=BATCH)
    assert (task.state, task.result) == (state, result)


def test_a_batch_that_failed_says_which_shards_did() -> None:
    batch = watched_batch(counts={Phase.FAILED: 20}, ended_at=ENDED)
    task = task_of(batch_event(batch, AROUND, NOW, "20 of 20 shards failed: shard 0 ..."), task_id=BATCH)
    assert task.exception == task.traceback == "20 of 20 shards failed: shard 0 ..."
    refused = batch_event(watched_batch(counts={}, ended_at=ENDED, refused="line 3 is wrong"), AROUND, NOW)
    assert task_of(refused, task_id=BATCH).exception == "line 3 is wrong"


def test_what_a_batch_is_can_be_read_and_searched() -> None:
    batch = watched_batch(counts={Phase.RUNNING: 5, Phase.SUCCEEDED: 15}, has_callback=True)
    task = task_of(batch_event(batch, AROUND, NOW), task_id=BATCH)
    assert (task.name, task.args) == ("report (batch)", "acme, nightly, 20 shards")
    about = ast.literal_eval(task.kwargs)
    assert (about["batch"], about["by_phase"], about["callback"]) == (BATCH, "5 RUNNING, 15 SUCCEEDED", "callback-1")
