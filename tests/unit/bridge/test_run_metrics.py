from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from dagy_queue.bridge import run_metrics as module
from dagy_queue.bridge.run_metrics import RunMetrics
from dagy_queue.ledger import Phase
from dagy_queue.ledger.watching import Change

_ids = itertools.count(1)
LIFE = [
    *(("", Phase.QUEUED), (Phase.QUEUED, Phase.HELD), (Phase.HELD, Phase.SUBMITTING)),
    *((Phase.SUBMITTING, Phase.SUBMITTED), (Phase.SUBMITTED, Phase.PROVISIONING)),
    *((Phase.PROVISIONING, Phase.PENDING), (Phase.PENDING, Phase.RUNNING), (Phase.RUNNING, Phase.STOPPED)),
    (Phase.STOPPED, Phase.SUCCEEDED),
]


class Counted:
    """The counters of a monitor, and changes to count."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = RunMetrics(self.registry)

    def see(self, was: str, phase: str, seconds: float = 1.0, run_id: str = "r", kind: str = "") -> None:
        self.metrics.observe(Change(f"{next(_ids)}-0", run_id, phase=phase, was=was, seconds=seconds, kind=kind))

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def step(self, step: str) -> tuple[float, float]:
        counts = (self.value(f"dagy_run_step_seconds_{what}", step=step) for what in ("count", "sum"))
        return next(counts), next(counts)


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_every_step_of_a_run_is_measured_over_its_phases(counted: Counted) -> None:
    for was, phase in LIFE:
        counted.see(was, phase)
    assert counted.step("held_to_submitted") == (1, 2)
    assert counted.step("submitted_to_running") == (1, 3)
    assert counted.step("running_to_stopped") == (1, 1)
    assert counted.step("stopped_to_result") == (1, 1)
    assert counted.value("dagy_runs_ended_total", status="SUCCEEDED") == 1


def test_a_launch_that_is_refused_is_held_for_longer(counted: Counted) -> None:
    for _ in range(3):
        counted.see(Phase.HELD, Phase.SUBMITTING)
        counted.see(Phase.SUBMITTING, Phase.HELD)
    counted.see(Phase.HELD, Phase.SUBMITTING)
    assert counted.step("held_to_submitted") == (0, 0)
    counted.see(Phase.SUBMITTING, Phase.RUNNING)  # its first event came before its launch was noted
    assert counted.step("held_to_submitted") == (1, 8)


@pytest.mark.parametrize("first", [Phase.PROVISIONING, Phase.PENDING])
def test_a_start_whose_first_event_came_before_its_launch_was_noted_is_measured(counted: Counted, first: Phase) -> None:
    counted.see(Phase.HELD, Phase.SUBMITTING)
    counted.see(Phase.SUBMITTING, first)
    if first is Phase.PROVISIONING:
        counted.see(Phase.PROVISIONING, Phase.PENDING, 2)
    counted.see(Phase.PENDING, Phase.RUNNING, 5)
    assert counted.step("held_to_submitted") == (1, 2)
    assert counted.step("submitted_to_running") == (1, 7 if first is Phase.PROVISIONING else 5)


def test_phases_that_events_skip_are_not_missed(counted: Counted) -> None:
    counted.see(Phase.SUBMITTED, Phase.RUNNING, 7)
    assert counted.step("submitted_to_running") == (1, 7)


@pytest.mark.parametrize(
    ("was", "phase"), [(Phase.HELD, Phase.CANCELLED), (Phase.PROVISIONING, Phase.STOPPED), (Phase.HELD, Phase.STOPPED)]
)
def test_a_step_that_does_not_end_as_it_should_counts_nowhere(counted: Counted, was: str, phase: str) -> None:
    counted.see(Phase.SUBMITTED, Phase.PROVISIONING)
    counted.see(was, phase)
    assert all(counted.step(step) == (0, 0) for step in module._NEXT)


@pytest.mark.parametrize("was", [Phase.SUBMITTING, Phase.PROVISIONING, Phase.PENDING])
def test_a_step_whose_beginning_another_bridge_saw_is_not_counted(counted: Counted, was: str) -> None:
    counted.see(was, Phase.RUNNING)
    assert all(counted.step(step) == (0, 0) for step in module._NEXT)


def test_attempts_are_counted_by_their_kind_of_end(counted: Counted) -> None:
    counted.see(Phase.RUNNING, Phase.STOPPED, kind="spot")
    counted.see(Phase.STOPPED, Phase.RETRYING)
    counted.see(Phase.RUNNING, Phase.STOPPED, kind="succeeded")
    assert counted.value("dagy_attempts_ended_total", kind="spot") == 1
    assert counted.value("dagy_attempts_ended_total", kind="succeeded") == 1


def test_an_alert_sees_the_first_failure_as_an_increase(counted: Counted) -> None:
    assert counted.registry.get_sample_value("dagy_runs_ended_total", {"status": "FAILED"}) == 0
    assert counted.registry.get_sample_value("dagy_attempts_ended_total", {"kind": "out_of_memory"}) == 0


def test_changes_of_batches_are_no_changes_of_runs(counted: Counted) -> None:
    counted.metrics.observe(Change("1-0", batch_id="b", shards=range(5)))
    assert all(counted.step(step) == (0, 0) for step in module._NEXT)


def test_what_is_remembered_of_unfinished_steps_is_bounded(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 2)
    for run_id in ("a", "b", "c"):
        counted.see(Phase.HELD, Phase.SUBMITTING, run_id=run_id)
    for run_id in ("a", "b", "c"):
        counted.see(Phase.SUBMITTING, Phase.SUBMITTED, run_id=run_id)
    assert counted.step("held_to_submitted") == (2, 4)


@given(st.lists(st.tuples(st.sampled_from(["", *Phase]), st.sampled_from(list(Phase))), max_size=50))
def test_no_order_of_changes_is_too_strange(changes: list[tuple[str, Phase]]) -> None:
    counted = Counted()
    for was, phase in changes:
        counted.see(was, phase)
    for step in module._NEXT:
        count, total = counted.step(step)
        assert total >= count
