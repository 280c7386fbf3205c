from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.outcomes import Kind, Outcome, classify_stop
from dagy_queue.outcomes.stopped_task import StoppedContainer, StoppedTask
from tests.unit.strategies import unhurried

STOP_CODES = (
    "",
    "TaskFailedToStart",
    "EssentialContainerExited",
    "UserInitiated",
    "ServiceSchedulerInitiated",
    "SpotInterruption",
    "TerminationNotice",
    "InfrastructureHealth",
)
REASONS = (
    "",
    "Essential container in task exited",
    "OutOfMemoryError: Container killed due to memory usage",
    "CannotPullContainerError: pull image manifest has been retried",
    "ResourceInitializationError: unable to pull secrets",
    "Your Spot Task was interrupted.",
)

exit_codes = st.none() | st.sampled_from([0, 1, 2, 3, 137, 139, 143, 255])
reasons = st.sampled_from(REASONS) | st.text(max_size=20)
sidecars = st.lists(
    st.builds(
        StoppedContainer, name=st.sampled_from(["log", "guardduty", "Worker"]), exit_code=exit_codes, reason=reasons
    ),
    max_size=3,
)
workers = st.none() | st.builds(StoppedContainer, name=st.just("worker"), exit_code=exit_codes, reason=reasons)
stop_codes = st.sampled_from(STOP_CODES)


def stop(
    exit_code: int | None, *, stop_code: str = "EssentialContainerExited", reason: str = "", said: str = ""
) -> Outcome:
    container = StoppedContainer(name="worker", exit_code=exit_code, reason=reason)
    task = StoppedTask(task_arn="arn", stop_code=stop_code, stopped_reason=said, containers=(container,))
    return classify_stop(task, "worker")


@unhurried
@given(workers, sidecars, sidecars, stop_codes, reasons)
def test_a_task_succeeds_exactly_if_its_worker_exited_with_zero(
    worker: StoppedContainer | None,
    before: list[StoppedContainer],
    after: list[StoppedContainer],
    stop_code: str,
    said: str,
) -> None:
    containers = (*before, *([worker] if worker else []), *after)
    task = StoppedTask(task_arn="arn", stop_code=stop_code, stopped_reason=said, containers=containers)
    assert classify_stop(task, "worker").succeeded == (worker is not None and worker.exit_code == 0)


@unhurried
@given(workers.filter(bool), sidecars, sidecars, stop_codes, reasons)
def test_sidecars_change_nothing(
    worker: StoppedContainer, before: list[StoppedContainer], after: list[StoppedContainer], stop_code: str, said: str
) -> None:
    def outcome(*containers: StoppedContainer) -> Outcome:
        task = StoppedTask(task_arn="arn", stop_code=stop_code, stopped_reason=said, containers=containers)
        return classify_stop(task, "worker")

    assert outcome(*before, worker, *after) == outcome(worker)


@unhurried
@given(workers, sidecars, stop_codes, reasons)
def test_every_bad_end_says_what_happened_and_what_to_do(
    worker: StoppedContainer | None, others: list[StoppedContainer], stop_code: str, said: str
) -> None:
    containers = (*others, *([worker] if worker else []))
    task = StoppedTask(task_arn="arn", stop_code=stop_code, stopped_reason=said, containers=containers)
    outcome = classify_stop(task, "worker")
    assert outcome.summary
    assert outcome.succeeded or outcome.resolution
    assert (outcome.task_arn, outcome.stop_code) == ("arn", stop_code)


@pytest.mark.parametrize("exit_code", [1, 2, 3, 139, 143, 255])
def test_a_worker_that_exits_with_another_code_failed(exit_code: int) -> None:
    outcome = stop(exit_code)
    assert (outcome.kind, outcome.exit_code) == (Kind.FAILED, exit_code)


@pytest.mark.parametrize("stop_code", STOP_CODES)
def test_a_worker_without_an_exit_code_never_succeeded(stop_code: str) -> None:
    outcome = stop(None, stop_code=stop_code)
    assert not outcome.succeeded
    assert outcome.exit_code is None


def test_a_lone_container_of_another_name_is_not_the_worker() -> None:
    sidecar = StoppedContainer(name="guardduty", exit_code=0)
    assert not classify_stop(StoppedTask(task_arn="arn", containers=(sidecar,)), "worker").succeeded


def test_a_task_without_containers_did_not_start() -> None:
    task = StoppedTask(task_arn="arn", stop_code="TaskFailedToStart", stopped_reason="Timeout waiting for network")
    assert classify_stop(task, "worker").kind is Kind.START_FAILED


@pytest.mark.parametrize("exit_code", [1, 137])
def test_a_container_that_ran_out_of_memory_is_told_apart(exit_code: int) -> None:
    outcome = stop(exit_code, reason="OutOfMemoryError: Container killed due to memory usage")
    assert outcome.kind is Kind.OUT_OF_MEMORY


def test_a_killed_container_did_not_necessarily_run_out_of_memory() -> None:
    assert stop(137).kind is Kind.FAILED


@pytest.mark.parametrize("exit_code", [None, 1, 137, 143])
def test_a_task_that_somebody_stopped_is_cancelled(exit_code: int | None) -> None:
    assert stop(exit_code, stop_code="UserInitiated").kind is Kind.CANCELLED


def test_a_task_that_finished_while_it_was_being_stopped_succeeded() -> None:
    assert stop(0, stop_code="UserInitiated").succeeded


def test_what_ecs_said_is_kept() -> None:
    outcome = stop(
        None, stop_code="TaskFailedToStart", reason="CannotPullContainerError: no such image", said="Task failed"
    )
    assert "no such image" in outcome.detail
    assert "Task failed" in outcome.detail


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("CannotPullContainerError: not found", "image"),
        ("ResourceInitializationError: unable to pull secrets or registry auth", "secret"),
        ('CannotStartContainerError: exec: "x": executable file not found in $PATH', "command"),
    ],
)
def test_a_start_that_failed_gets_advice_that_fits(reason: str, advice: str) -> None:
    assert advice in stop(None, stop_code="TaskFailedToStart", reason=reason).resolution


def test_the_same_stop_gives_the_same_outcome() -> None:
    assert stop(1) == stop(1)
