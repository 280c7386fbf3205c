"""The pure function from a stopped ECS task to an Outcome; the bridge calls it for every STOPPED event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dagy.contract import ExitCode
from dagy_queue.outcomes.outcome import Kind, Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedContainer:
    """A container of a stopped task, as the event reports it. A missing exit code means it never ran."""

    name: str
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedTask:
    """A stopped task, as the event reports it."""

    task_arn: str
    stop_code: str = ""
    stopped_reason: str = ""
    containers: Sequence[StoppedContainer] = ()


_EXIT_MEANINGS = {
    143: ("the container was told to stop", "launch again if it was not you who stopped it"),
    137: (
        "the container was killed",
        "if memory ran out choose more memory; if it was being stopped, let it stop within stopTimeout",
    ),
}
"""What a shell would mean by them: 128 and the number of the signal."""

_WORKER_EXIT_MEANINGS = {
    ExitCode.FLOW_FAILED: ("the flow failed", "read the error and the run's log, mend the flow, and launch again"),
    ExitCode.BAD_SPEC: (
        "the worker could not read its run spec or artifact",
        "mend what the message names: the parameters, or the artifact, which the task role must be able to read",
    ),
    ExitCode.DEPENDENCY_FAILED: (
        "a dependency package could not be installed",
        "check that the package is where its URI says, and that the task role may read it; the log has pip's message",
    ),
}


def explain_worker_exit(outcome: Outcome) -> Outcome:
    """Say what an exit code of the Dagy worker means; in other images the same code may mean anything."""
    if outcome.kind is not Kind.FAILED or outcome.exit_code not in _WORKER_EXIT_MEANINGS:
        return outcome
    meaning, resolution = _WORKER_EXIT_MEANINGS[outcome.exit_code]
    return replace(outcome, summary=f"{meaning} (exit code {outcome.exit_code})", resolution=resolution)


def classify_stop(task: StoppedTask, container_name: str) -> Outcome:
    """Say how a task ended, judged by the container that does the work (sidecars don't count)."""
    worker = next((c for c in task.containers if c.name == container_name), None)
    if worker is None or worker.exit_code is None:
        return _never_ran(task, worker)
    if worker.exit_code == 0:
        return Outcome(
            kind=Kind.SUCCEEDED,
            summary="the container exited with 0",
            exit_code=0,
            stop_code=task.stop_code,
            task_arn=task.task_arn,
        )
    return _exited(task, worker, worker.exit_code)


def _exited(task: StoppedTask, worker: StoppedContainer, exit_code: int) -> Outcome:
    said = "; ".join(part for part in (worker.reason, task.stopped_reason) if part)
    if "OutOfMemory" in said:
        return Outcome(
            kind=Kind.OUT_OF_MEMORY,
            summary=f"the container ran out of memory (exit code {exit_code})",
            detail=said,
            resolution="choose more memory for the run",
            exit_code=exit_code,
            stop_code=task.stop_code,
            task_arn=task.task_arn,
        )
    meaning, resolution = _EXIT_MEANINGS.get(
        exit_code, ("the container failed", "read the run's log for what the program said")
    )
    kind = Kind.CANCELLED if task.stop_code == "UserInitiated" else Kind.FAILED
    return Outcome(
        kind=kind,
        summary=f"{meaning} (exit code {exit_code})",
        detail=said,
        resolution=resolution,
        exit_code=exit_code,
        stop_code=task.stop_code,
        task_arn=task.task_arn,
    )


def _never_ran(task: StoppedTask, worker: StoppedContainer | None) -> Outcome:
    said = "; ".join(part for part in ((worker.reason if worker else ""), task.stopped_reason) if part)
    if task.stop_code == "UserInitiated":
        return Outcome(
            kind=Kind.CANCELLED,
            summary="the task was stopped before its container ran",
            detail=said,
            resolution="launch again if it was not you who stopped it",
            stop_code=task.stop_code,
            task_arn=task.task_arn,
        )
    return Outcome(
        kind=Kind.START_FAILED,
        summary=f"the container never ran: {said or 'ECS gave no reason'}",
        detail=said,
        resolution=_start_resolution(said),
        stop_code=task.stop_code,
        task_arn=task.task_arn,
    )


def _start_resolution(said: str) -> str:
    if "CannotPullContainer" in said:
        return "check the image's name and tag, and that the execution role may pull it"
    if "secret" in said.lower():
        return "check the secret's ARN, and that the execution role may read it"
    if "executable file not found" in said:
        return "check the command: the image has no such program"
    return "look at the task in the ECS console, and launch again if the reason is a passing one"
