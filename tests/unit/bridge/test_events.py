from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dagy_queue.bridge.events import EventInvalid, read_event
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Phase
from dagy_queue.outcomes import Kind, Outcome
from tests.unit.kit import TASK_ARN, body, event, stopped_event
from tests.unit.strategies import attempt_ids, json_values, unhurried

STATUSES = (
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
    "DELETED",
)
odd_values = json_values | st.sampled_from([float("nan"), float("inf"), -float("inf"), 10**400, "\ud800", True])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every place in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of a value with something else in one place."""
    if not path:
        return new
    copy = json.loads(json.dumps(value))
    target = copy
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = new
    return copy


PLACES = places(stopped_event())


def read(value: Any) -> Any:
    return read_event(body(value), "worker").observation


@unhurried
@given(attempt_ids, st.integers(1, 1000))
def test_an_event_says_which_attempt_it_is_about(attempt_id: AttemptId, version: int) -> None:
    read_one = read(event(attempt_id.run_id, attempt_id.attempt, version=version))
    assert (read_one.attempt_id, read_one.version, read_one.task_arn) == (attempt_id, version, TASK_ARN)


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("PROVISIONING", Phase.PROVISIONING),
        ("PENDING", Phase.PENDING),
        ("ACTIVATING", Phase.PENDING),
        ("RUNNING", Phase.RUNNING),
        ("DEACTIVATING", None),
        ("STOPPING", None),
        ("DEPROVISIONING", None),
    ],
)
def test_a_task_on_its_way_has_a_phase_and_no_completion(status: str, phase: Phase | None) -> None:
    read_one = read(event(lastStatus=status))
    assert (read_one.phase, read_one.completion) == (phase, None)


def test_a_warning_that_spot_will_take_the_task_is_no_end() -> None:
    warning = event(lastStatus="RUNNING", desiredStatus="STOPPED", stopCode="SpotInterruption")
    read_one = read(warning | {"detail": warning["detail"] | {"stoppedReason": "Your Spot Task was interrupted."}})
    assert (read_one.phase, read_one.completion) == (Phase.RUNNING, None)


def test_an_interrupted_task_that_has_stopped_is_an_interruption() -> None:
    stopped = stopped_event()
    stopped["detail"] |= {"stopCode": "SpotInterruption", "stoppedReason": "Your Spot Task was interrupted."}
    stopped["detail"]["containers"] = [{"name": "worker", "exitCode": 143}]
    completion = read(stopped).completion
    assert completion is not None
    assert Outcome.from_dict(completion["outcome"]).kind is Kind.SPOT


def test_a_spot_warning_is_not_the_end() -> None:
    assert read(event(desiredStatus="STOPPED", stopCode="SpotInterruption")).completion is None


def test_a_stopped_task_has_its_outcome_and_times() -> None:
    completion = read(stopped_event(exit_code=3)).completion
    assert Outcome.from_dict(completion["outcome"]).exit_code == 3
    assert {name: completion[name] for name in ("createdAt", "startedAt", "stoppedAt")} == {
        "createdAt": "2026-01-01T00:00:00Z",
        "startedAt": "2026-01-01T00:00:20Z",
        "stoppedAt": "2026-01-01T00:01:00Z",
    }


def test_a_task_that_never_started_has_no_start_time() -> None:
    value = stopped_event(exit_code=None, stopCode="TaskFailedToStart")
    del value["detail"]["startedAt"]
    assert "startedAt" not in read(value).completion


def test_the_workers_exit_code_counts_whatever_the_order_of_containers() -> None:
    containers = [{"name": "log", "exitCode": 1}, {"name": "worker", "exitCode": 0}]
    assert Outcome.from_dict(read(stopped_event(containers=containers)).completion["outcome"]).succeeded


def test_unknown_fields_are_tolerated() -> None:
    assert read(stopped_event(novelty={"deep": [1]}) | {"replay-name": "r"}).completion


@pytest.mark.parametrize("name", ["taskArn", "lastStatus", "version", "startedBy"])
def test_an_event_without_what_is_needed_is_invalid(name: str) -> None:
    value = stopped_event()
    del value["detail"][name]
    with pytest.raises(EventInvalid):
        read(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "1",
        '"text"',
        "{}",
        "{",
        '{"detail": null, "detail-type": "ECS Task State Change"}',
        body(event() | {"detail-type": "ECS Service Action"}),
        body(event(startedBy="ecs-svc/1")),
        body(event(startedBy=None)),
        body(event(version="three")),
        body(event(version=None)),
    ],
)
def test_what_is_no_event_of_ours_is_invalid(text: str) -> None:
    with pytest.raises(EventInvalid):
        read_event(text, "worker")


@unhurried
@given(st.text() | json_values.map(json.dumps))
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example("1" * 10_000)
def test_any_text_is_an_event_or_invalid(text: str) -> None:
    with suppress(EventInvalid):
        read_event(text, "worker")


@unhurried
@given(st.sampled_from(PLACES), odd_values)
@example(("detail", "version"), float("inf"))
@example(("detail", "containers", 0, "exitCode"), float("inf"))
def test_an_event_with_something_odd_in_it_is_an_event_or_invalid(path: tuple[Any, ...], value: Any) -> None:
    with suppress(EventInvalid):
        read(changed(stopped_event(), path, value))


@unhurried
@given(st.sampled_from(PLACES), odd_values)
@example(("detail", "taskArn"), "\ud800")
def test_what_is_read_can_be_sent_to_redis(path: tuple[Any, ...], value: Any) -> None:
    try:
        read_one = read(changed(stopped_event(), path, value))
    except (EventInvalid, OverflowError):  # OverflowError: the test above has it
        return
    assert read_one.task_arn.encode()
    assert str(read_one.version).encode()
    assert json.dumps(read_one.completion).encode()


@unhurried
@given(st.sampled_from(STATUSES), json_values.filter(lambda code: code != 0 and not isinstance(code, str)))
@example("STOPPED", 0.5)
def test_an_exit_code_that_is_not_zero_never_makes_a_success(status: str, code: Any) -> None:
    try:
        completion = read(
            stopped_event(lastStatus=status, containers=[{"name": "worker", "exitCode": code}])
        ).completion
    except EventInvalid:
        return
    assert completion is None or not Outcome.from_dict(completion["outcome"]).succeeded
