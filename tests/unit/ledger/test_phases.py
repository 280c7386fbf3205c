from __future__ import annotations

import pytest

from dagy_queue.ledger import Phase, RunStatus
from dagy_queue.ledger.phases import phase_of_task

FINAL = {"SUCCEEDED", "FAILED", "CANCELLED"}


@pytest.mark.parametrize("status", RunStatus)
def test_three_statuses_are_final(status: RunStatus) -> None:
    assert status.is_final == (status.value in FINAL)


@pytest.mark.parametrize("phase", Phase)
def test_a_phase_is_final_exactly_if_its_status_is(phase: Phase) -> None:
    assert phase.status.is_final == (phase.value in FINAL)


@pytest.mark.parametrize("phase", Phase)
def test_a_phase_that_is_a_status_shows_as_it(phase: Phase) -> None:
    if phase.value in RunStatus.__members__:
        assert phase.status.value == phase.value


@pytest.mark.parametrize("phase", ["QUEUED", "HELD", "RETRYING", "SUBMITTING", "SUBMITTED", "PROVISIONING", "PENDING"])
def test_what_does_not_run_yet_shows_as_queued(phase: str) -> None:
    assert Phase(phase).status is RunStatus.QUEUED


def test_a_run_whose_result_is_on_its_way_shows_as_running() -> None:
    assert Phase.STOPPED.status is RunStatus.RUNNING


@pytest.mark.parametrize(
    ("last_status", "phase"),
    [
        ("PROVISIONING", Phase.PROVISIONING),
        ("PENDING", Phase.PENDING),
        ("ACTIVATING", Phase.PENDING),
        ("RUNNING", Phase.RUNNING),
        ("DEACTIVATING", None),
        ("STOPPING", None),
        ("DEPROVISIONING", None),
        ("STOPPED", None),
        ("DELETED", None),
        ("A STATUS TO COME", None),
    ],
)
def test_a_tasks_status_means_a_phase_or_nothing(last_status: str, phase: Phase | None) -> None:
    assert phase_of_task(last_status) is phase
