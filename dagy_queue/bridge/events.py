"""From an SQS message body to an event of an attempt; pure. The consumer calls :func:`read_event`.

Nothing is guessed: what is not certainly an event of a task of ours is EventInvalid, whatever is in the message. A
description by DescribeTasks has the form of an event's detail, so :func:`observation_of` reads both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from dagy_queue.ids import AttemptId
from dagy_queue.ledger.entries import milliseconds
from dagy_queue.ledger.phases import phase_of_task
from dagy_queue.ledger.runs import Observation
from dagy_queue.outcomes.tasks import outcome_of_task

DETAIL_TYPE = "ECS Task State Change"
_STOPPED = "STOPPED"
_STATUS = re.compile(r"[A-Z_]{1,40}")
_TASK_ARN = re.compile(r"arn:[a-z0-9-]+:ecs:[a-z0-9-]*:[0-9]*:task/[A-Za-z0-9_/-]{1,300}")
_LARGEST_VERSION = 2**53
"""Redis's Lua counts in doubles: above this, one version may look like another."""


class EventInvalid(ValueError):
    """A message that is no event of an ECS task of ours; says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskEvent:
    """An event of a task of ours. Times are seconds since 1970; None where the event does not say."""

    observation: Observation
    emitted_at: float | None

    @property
    def stopped_at(self) -> float | None:
        """When the task stopped; None for events that are not its end."""
        completion = self.observation.completion
        if completion is None:
            return None
        return _seconds(completion.get("stoppedAt")) or self.emitted_at


def read_event(body: str, container_name: str) -> TaskEvent:
    """Read the body of a message. Raises EventInvalid, and nothing else."""
    try:
        envelope = json.loads(body, parse_constant=_refuse_constant)
        if "\\ud" in body.lower():
            json.dumps(envelope, ensure_ascii=False).encode()  # half a surrogate pair cannot be stored
        return _event(envelope, container_name)
    except EventInvalid:
        raise
    except Exception as exc:
        raise EventInvalid(f"not an ECS task event: {type(exc).__name__}: {exc}") from exc


def _event(envelope: Mapping[str, Any], container_name: str) -> TaskEvent:
    if envelope["detail-type"] != DETAIL_TYPE:
        raise EventInvalid(f"detail-type {envelope['detail-type']!r} is not {DETAIL_TYPE!r}")
    observation = observation_of(envelope["detail"], container_name)
    return TaskEvent(observation=observation, emitted_at=_seconds(envelope.get("time")))


def observation_of(task: Mapping[str, Any], container_name: str) -> Observation:
    """Read what an event or a description tells of a task of ours. Raises EventInvalid, ValueError or KeyError."""
    started_by, status, version = task.get("startedBy"), task["lastStatus"], task["version"]
    attempt_id = AttemptId.from_started_by(started_by) if isinstance(started_by, str) else None
    if attempt_id is None:
        raise EventInvalid(f"startedBy {started_by!r} is not one of ours")
    if not (isinstance(status, str) and _STATUS.fullmatch(status)):
        raise EventInvalid(f"lastStatus {status!r} is no status of a task")
    if type(version) is not int or not 0 < version <= _LARGEST_VERSION:
        raise EventInvalid(f"version {version!r} is no version of a task")
    return Observation(
        attempt_id=attempt_id,
        version=version,
        task_arn=_task_arn(task["taskArn"]),
        phase=phase_of_task(status),
        completion=_completion(task, container_name) if status == _STOPPED else None,
    )


def _task_arn(value: Any) -> str:
    if not (isinstance(value, str) and _TASK_ARN.fullmatch(value)):
        raise EventInvalid(f"taskArn {value!r} is no ARN of a task")
    return value


def _completion(task: Mapping[str, Any], container_name: str) -> dict[str, Any]:
    outcome = outcome_of_task(task, container_name)
    times = {name: _iso(task.get(name)) for name in ("createdAt", "startedAt", "stoppedAt")}
    return {"outcome": outcome.to_dict(), **{name: time for name, time in times.items() if time}}


def _iso(value: Any) -> str:
    """Return a time as an event has it, which boto3 gives as an object; '' for what is no time."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) and milliseconds(value) is not None else ""


def _seconds(value: Any) -> float | None:
    found = milliseconds(value)
    return None if found is None else found / 1000


def _refuse_constant(name: str) -> NoReturn:
    raise EventInvalid(f"not JSON: {name} is no number")
