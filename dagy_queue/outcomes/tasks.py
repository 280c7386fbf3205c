"""Reads how an ECS task ended, from a state change event's detail or DescribeTasks' answer: they have one form; pure.

The bridge calls it for events, the direct mode for descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dagy_queue.outcomes.classify import classify_stop
from dagy_queue.outcomes.outcome import Outcome
from dagy_queue.outcomes.stopped_task import StoppedContainer, StoppedTask


def outcome_of_task(task: Mapping[str, Any], container_name: str) -> Outcome:
    """Say how a stopped task ended; ``container_name`` is used where the task does not tell which one does the work.

    Raises ValueError or KeyError for what is no task.
    """
    return classify_stop(_stopped(task), _worker_name(task) or container_name)


def _worker_name(task: Mapping[str, Any]) -> str:
    """Return the container that does the work: the first of those whose overrides we sent with RunTask."""
    overridden = (task.get("overrides") or {}).get("containerOverrides") or [{}]
    return str(overridden[0].get("name") or "")


def _stopped(task: Mapping[str, Any]) -> StoppedTask:
    return StoppedTask(
        task_arn=str(task["taskArn"]),
        stop_code=str(task.get("stopCode") or ""),
        stopped_reason=str(task.get("stoppedReason") or ""),
        containers=tuple(_container(container) for container in task.get("containers") or ()),
        has_run=bool(task.get("startedAt")),
        cpu=_number(task.get("cpu")),
        memory=_number(task.get("memory")),
    )


def _number(text: Any) -> int | None:
    """Read a size as ECS's events have it, a text of digits."""
    return int(text) if isinstance(text, str | int) and re.fullmatch("[0-9]{1,9}", str(text)) else None


def _container(container: Mapping[str, Any]) -> StoppedContainer:
    return StoppedContainer(
        name=str(container.get("name") or ""),
        exit_code=_exit_code(container.get("exitCode")),
        reason=str(container.get("reason") or ""),
    )


def _exit_code(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"exitCode {value!r} is not an integer")
