from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.outcomes import Kind, Outcome, classify_stop
from dagy_queue.outcomes.stopped_task import StoppedContainer, StoppedTask
from dagy_queue.outcomes.tasks import outcome_of_task
from tests.unit.strategies import json_values, unhurried

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
    "Timeout waiting for network interface provisioning to complete.",
    "CannotStopContainerError: failed sending SIGTERM to container",
    "dagy: its timeout is over",
    "",
    "Essential container in task exited",
    "OutOfMemoryError: Container killed due to memory usage",
    "CannotPullContainerError: pull image manifest has been retried",
    "ResourceInitializationError: unable to pull secrets",
    "Your Spot Task was interrupted.",
)

exit_codes = st.none() | st.sampled_from([0, 1, 2, 3, 137, 139, 143, 255]) | st.integers()
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
def test_sidecars_add_to_the_words_and_change_nothing_else(
    worker: StoppedContainer, before: list[StoppedContainer], after: list[StoppedContainer], stop_code: str, said: str
) -> None:
    def outcome(*containers: StoppedContainer) -> Outcome:
        task = StoppedTask(task_arn="arn", stop_code=stop_code, stopped_reason=said, containers=containers)
        return classify_stop(task, "worker")

    with_sidecars, alone = outcome(*before, worker, *after), outcome(worker)
    if worker.exit_code is None or alone.kind is Kind.OUT_OF_MEMORY:  # their reasons count then
        return
    assert (with_sidecars.kind, with_sidecars.transient) == (alone.kind, alone.transient)
    assert (with_sidecars.exit_code, with_sidecars.summary) == (alone.exit_code, alone.summary)


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


details = st.fixed_dictionaries(
    {"taskArn": st.just("arn")},
    optional={
        "stopCode": st.none() | st.sampled_from(STOP_CODES) | st.text(),
        "stoppedReason": st.none() | reasons,
        "startedAt": st.just("2026-01-01T00:00:00Z"),
        "cpu": json_values,
        "memory": json_values,
        "containers": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["worker", "log"])},
                optional={"exitCode": exit_codes, "reason": st.none() | reasons, "lastStatus": st.text()},
            ),
            max_size=4,
        ),
    },
)


@unhurried
@given(details)
def test_any_event_gives_an_outcome_with_words_and_none_succeeds_without_exit_code_zero(detail: dict[str, Any]) -> None:
    outcome = outcome_of_task(detail, "worker")
    assert outcome.summary
    worker = next((c for c in detail.get("containers", ()) if c["name"] == "worker"), {})
    assert outcome.succeeded == (worker.get("exitCode") == 0)
    assert Outcome.from_dict(outcome.to_dict()) == outcome


def stopped(stop_code: str, said: str, *containers: StoppedContainer, has_run: bool = True) -> Outcome:
    task = StoppedTask(
        task_arn="arn",
        stop_code=stop_code,
        stopped_reason=said,
        containers=containers or (StoppedContainer(name="worker", exit_code=143),),
        has_run=has_run,
        cpu=256,
        memory=512,
    )
    return classify_stop(task, "worker")


@pytest.mark.parametrize(
    ("stop_code", "said", "kind", "words"),
    [
        ("UserInitiated", "Task stopped by user", Kind.CANCELLED, "somebody stopped the task"),
        ("UserInitiated", "", Kind.CANCELLED, "somebody stopped the task"),
        ("UserInitiated", "dagy: revoked", Kind.CANCELLED, "dagy_queue stopped the task: its run was cancelled"),
        ("UserInitiated", "dagy: its timeout is over", Kind.TIMED_OUT, "its time was over"),
        ("ServiceSchedulerInitiated", "Scaling activity initiated by deployment", Kind.CANCELLED, "service"),
        ("SpotInterruption", "Your Spot Task was interrupted.", Kind.SPOT, "Spot took"),
        ("", "Your Spot Task was interrupted.", Kind.SPOT, "Spot took"),
        ("TerminationNotice", "", Kind.SPOT, "out of service"),
        ("", "ECS is performing maintenance on the underlying infrastructure hosting the task.", Kind.SPOT, "out of"),
        ("InfrastructureHealth", "", Kind.SPOT, "host failed"),
        ("", "Host EC2 (instance i-0a1b) terminated.", Kind.SPOT, "host failed"),
    ],
)
@pytest.mark.parametrize("exit_code", [None, 1, 137, 143])
def test_what_stopped_the_task_from_outside_counts_whatever_the_container_exited_with(
    stop_code: str, said: str, kind: Kind, words: str, exit_code: int | None
) -> None:
    outcome = stopped(stop_code, said, StoppedContainer(name="worker", exit_code=exit_code))
    assert (outcome.kind, outcome.exit_code, outcome.transient) == (kind, exit_code, kind is Kind.SPOT)
    assert words in outcome.summary


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (1, "the container failed"),
        (127, "not found"),
        (129, "SIGHUP"),
        (134, "aborted"),
        (137, "killed"),
        (139, "segmentation fault"),
        (143, "told to stop"),
        (255, "the container failed"),
        (70_000, "the container failed"),
        (-1, "the container failed"),
    ],
)
def test_an_exit_code_is_put_into_words(exit_code: int, words: str) -> None:
    assert words in stop(exit_code).summary
    assert f"exit code {exit_code}" in stop(exit_code).summary


def test_an_end_out_of_memory_says_how_much_there_was() -> None:
    outcome = stopped(
        "EssentialContainerExited", "", StoppedContainer(name="worker", exit_code=137, reason="OutOfMemoryError: x")
    )
    assert (outcome.kind, outcome.cpu, outcome.memory) == (Kind.OUT_OF_MEMORY, 256, 512)


def test_a_sidecar_out_of_memory_is_not_the_worker() -> None:
    sidecar = StoppedContainer(name="log", exit_code=137, reason="OutOfMemoryError: x")
    outcome = stopped(
        "EssentialContainerExited", "OutOfMemoryError", sidecar, StoppedContainer(name="worker", exit_code=1)
    )
    assert outcome.kind is Kind.FAILED


@pytest.mark.parametrize("said", ["CannotStopContainerError: x", "ContainerRuntimeError: x", "InternalError", ""])
def test_a_container_that_ran_and_whose_end_nobody_saw_is_lost(said: str) -> None:
    outcome = stopped("EssentialContainerExited", said, StoppedContainer(name="worker"))
    assert (outcome.kind, outcome.exit_code) == (Kind.LOST, None)


def test_what_cannot_happen_to_a_running_container_is_a_failed_start() -> None:
    outcome = stopped("TaskFailedToStart", "CannotPullContainerError: not found", StoppedContainer(name="worker"))
    assert outcome.kind is Kind.START_FAILED


def test_a_sidecar_that_ended_the_task_is_named() -> None:
    sidecar = StoppedContainer(name="proxy", exit_code=3, reason="crashed")
    finished = StoppedContainer(name="setup", exit_code=0)
    outcome = stopped(
        "EssentialContainerExited",
        "Essential container in task exited",
        finished,
        sidecar,
        StoppedContainer(name="worker", exit_code=143),
    )
    assert "container proxy ended first (exit code 3: crashed)" in outcome.detail
    assert "setup" not in outcome.detail
    assert "sidecar" in outcome.resolution


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_sidecar_is_not_to_blame_for_a_worker_that_ended_by_itself(exit_code: int) -> None:
    sidecar = StoppedContainer(name="proxy", exit_code=3)
    outcome = stopped("EssentialContainerExited", "", sidecar, StoppedContainer(name="worker", exit_code=exit_code))
    assert "proxy" not in outcome.detail + outcome.resolution


def test_a_worker_that_a_sidecar_s_end_kept_from_starting_names_it() -> None:
    sidecar = StoppedContainer(name="setup", exit_code=1)
    outcome = stopped("EssentialContainerExited", "", sidecar, StoppedContainer(name="worker"), has_run=False)
    assert outcome.kind is Kind.START_FAILED
    assert "setup" in outcome.summary


def test_a_sidecar_s_image_that_cannot_be_pulled_is_why_the_task_did_not_start() -> None:
    sidecar = StoppedContainer(name="proxy", reason="CannotPullContainerError: manifest unknown")
    outcome = stopped(
        "TaskFailedToStart", "Task failed to start", sidecar, StoppedContainer(name="worker"), has_run=False
    )
    assert "there is no such image" in outcome.summary
