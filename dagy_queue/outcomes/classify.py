"""The pure function from a stopped ECS task to an Outcome; the bridge calls it for every STOPPED event.

The container that does the work decides. In turn: it exited with 0, something outside stopped the task, it ran out of
memory, it exited with another code, it ran and nobody saw its end, it never ran. Sidecars only add to the detail, but
that a sidecar's image cannot be pulled is why a task does not start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from dagy_queue.outcomes.causes import Cause, cause_of
from dagy_queue.outcomes.exit_codes import FROM_OUTSIDE, meaning_of
from dagy_queue.outcomes.outcome import Kind, Outcome
from dagy_queue.outcomes.start_causes import START_CAUSES
from dagy_queue.outcomes.stop_causes import STOP_CAUSES
from dagy_queue.outcomes.stopped_task import StoppedContainer, StoppedTask
from dagy_queue.outcomes.worker_reports import OUT_OF_MEMORY_RESOLUTION

_OUT_OF_MEMORY = "outofmemory"
_ESSENTIAL_EXITED = "EssentialContainerExited"
_BEFORE_IT_RAN = re.compile("TaskFailedToStart|CannotPull|CannotStart|CannotCreateVolume|ResourceInitialization")


def classify_stop(task: StoppedTask, container_name: str) -> Outcome:
    """Say how a task ended, judged by the container that does the work."""
    worker = task.container(container_name) or StoppedContainer(name=container_name)
    if worker.exit_code == 0:
        return _outcome(task, worker, kind=Kind.SUCCEEDED, summary="the container exited with 0")
    if cause := cause_of(f"{task.stop_code}: {task.stopped_reason}", STOP_CAUSES):
        return _by_cause(task, worker, cause, cause.summary)
    if _ran_out_of_memory(task, worker):
        return _out_of_memory(task, worker)
    if worker.exit_code is not None:
        return _failed(task, worker, worker.exit_code)
    return _never_ran(task, worker) if _failed_to_start(task, worker) else _end_not_seen(task, worker)


def _failed_to_start(task: StoppedTask, worker: StoppedContainer) -> bool:
    said = f"{task.stop_code}: {worker.reason}; {task.stopped_reason}"
    return not task.has_run or _BEFORE_IT_RAN.search(said) is not None


def _failed(task: StoppedTask, worker: StoppedContainer, exit_code: int) -> Outcome:
    meaning, resolution = meaning_of(exit_code)
    first = _ended_first(task, worker) if exit_code in FROM_OUTSIDE else ""
    return _outcome(
        task,
        worker,
        kind=Kind.FAILED,
        summary=f"{meaning} (exit code {exit_code})",
        detail=_said(worker.reason, task.stopped_reason, first),
        resolution=f"read the sidecar's log: it may have ended the task; or else, {resolution}"
        if first
        else resolution,
    )


def _ran_out_of_memory(task: StoppedTask, worker: StoppedContainer) -> bool:
    if _OUT_OF_MEMORY in worker.reason.lower():
        return True
    of_another = any(_OUT_OF_MEMORY in other.reason.lower() for other in task.others(worker.name))
    return worker.exit_code is not None and _OUT_OF_MEMORY in task.stopped_reason.lower() and not of_another


def _out_of_memory(task: StoppedTask, worker: StoppedContainer) -> Outcome:
    code = "" if worker.exit_code is None else f" (exit code {worker.exit_code})"
    return _outcome(
        task,
        worker,
        kind=Kind.OUT_OF_MEMORY,
        summary=f"the container ran out of memory{code}",
        resolution=OUT_OF_MEMORY_RESOLUTION,
    )


def _end_not_seen(task: StoppedTask, worker: StoppedContainer) -> Outcome:
    """A container without an exit code in a task that was running: whether its work was done, nobody knows."""
    return _outcome(
        task,
        worker,
        kind=Kind.LOST,
        summary="the container ran, and ECS did not see how it ended",
        detail=_said(worker.reason, task.stopped_reason, _ended_first(task, worker)),
        resolution="read the run's log for how far it came, and launch again if its work may be done twice",
    )


def _never_ran(task: StoppedTask, worker: StoppedContainer) -> Outcome:
    reasons = [worker.reason, task.stopped_reason, *(other.reason for other in task.others(worker.name))]
    if cause := next((found for reason in reasons if (found := cause_of(reason, START_CAUSES))), None):
        return _by_cause(task, worker, cause, f"the container never ran: {cause.summary}", reasons)
    said = _said(worker.reason, task.stopped_reason, _ended_first(task, worker))
    return _outcome(
        task,
        worker,
        kind=Kind.START_FAILED,
        summary=f"the container never ran: {said or 'ECS gave no reason'}",
        detail=said,
        resolution="look at the task in the ECS console, and launch again if the reason is a passing one",
    )


def _ended_first(task: StoppedTask, worker: StoppedContainer) -> str:
    """Name the sidecars that may have ended the task: ECS tells neither which are essential nor when they ended."""
    if task.stop_code != _ESSENTIAL_EXITED:
        return ""
    ended = [c for c in task.others(worker.name) if c.exit_code is not None and c.exit_code not in FROM_OUTSIDE]
    suspects = [c for c in ended if c.exit_code] or ended
    return "; ".join(_sidecar(container) for container in suspects)


def _sidecar(container: StoppedContainer) -> str:
    why = f": {container.reason}" if container.reason else ""
    ended = f"container {container.name} ended first (exit code {container.exit_code}{why})"
    return f"{ended}; if it is essential, that ended the task"


def _by_cause(
    task: StoppedTask, worker: StoppedContainer, cause: Cause, summary: str, reasons: Iterable[str] = ()
) -> Outcome:
    return _outcome(
        task,
        worker,
        kind=cause.kind,
        summary=summary,
        detail=_said(*reasons) or _said(worker.reason, task.stopped_reason),
        resolution=cause.resolution,
        transient=cause.transient,
    )


def _outcome(task: StoppedTask, worker: StoppedContainer, **values: Any) -> Outcome:
    known = {"detail": _said(worker.reason, task.stopped_reason)} if values["kind"] is not Kind.SUCCEEDED else {}
    facts = {"exit_code": worker.exit_code, "stop_code": task.stop_code, "task_arn": task.task_arn}
    facts |= {"cpu": task.cpu, "memory": task.memory}
    return Outcome(**{**known, **facts, **values})


def _said(*parts: str) -> str:
    """Return what ECS said, each part once."""
    return "; ".join(dict.fromkeys(part for part in parts if part))
