"""From an SQS message body, or a task as DescribeTasks tells it, to an observation of an attempt; pure.

The consumer calls :func:`read_event`, the reconciler :func:`observation_of`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dagy_queue.ids import AttemptId
from dagy_queue.ledger.phases import phase_of_task
from dagy_queue.ledger.runs import Observation
from dagy_queue.outcomes.tasks import outcome_of_task

DETAIL_TYPE = "ECS Task State Change"
_STOPPED = "STOPPED"


class EventInvalid(ValueError):
    """A message that is no event of an ECS task of ours; says why."""


def read_event(body: str, container_name: str) -> Observation:
    """Read the body of a message. Raises EventInvalid."""
    try:
        return _observation(json.loads(body), container_name)
    except EventInvalid:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
        raise EventInvalid(f"not an ECS task event: {type(exc).__name__}: {exc}") from exc


def _observation(envelope: Mapping[str, Any], container_name: str) -> Observation:
    if envelope["detail-type"] != DETAIL_TYPE:
        raise EventInvalid(f"detail-type {envelope['detail-type']!r} is not {DETAIL_TYPE!r}")
    return observation_of(envelope["detail"], container_name)


def observation_of(detail: Mapping[str, Any], container_name: str) -> Observation:
    """Read the detail of an event, or a description, which has the same form.

    Raises EventInvalid or another ValueError, KeyError, TypeError or AttributeError.
    """
    started_by = detail.get("startedBy") or ""
    attempt_id = AttemptId.from_started_by(str(started_by))
    if attempt_id is None:
        raise EventInvalid(f"startedBy {started_by!r} is not one of ours")
    task_arn, last_status = str(detail["taskArn"]), str(detail["lastStatus"])
    task_arn.encode()  # what UTF-8 cannot carry, Redis cannot store
    return Observation(
        attempt_id=attempt_id,
        version=int(detail["version"]),
        task_arn=task_arn,
        phase=phase_of_task(last_status),
        completion=_completion(detail, container_name) if last_status == _STOPPED else None,
    )


def _completion(detail: Mapping[str, Any], container_name: str) -> dict[str, Any]:
    outcome = outcome_of_task(detail, container_name)
    times = {name: detail[name] for name in ("createdAt", "startedAt", "stoppedAt") if detail.get(name)}
    return {"outcome": outcome.to_dict(), **times}
