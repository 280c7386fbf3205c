"""What the worker writes into DynamoDB about a run and its tasks; pure. ``recorder.py`` sends it.

The bridge's recorder is the authority on runs and overwrites these items; an update here never turns back what is
newer: a later attempt, or a final status of this one. Whether a failed attempt is the run's last only the dispatcher
knows, so that it is noted as RUNNING in phase STOPPED, as the ledger has it, unless the run has no queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dagy.contract import RunSpec
from dagy_worker.notes import TaskChanged

_CONDITION = (
    "attribute_not_exists(#run_id) OR attribute_not_exists(#attempt) OR #attempt < :attempt "
    "OR (#attempt = :attempt AND NOT #status IN (:succeeded, :failed, :cancelled))"
)
_FINAL = {":succeeded": {"S": "SUCCEEDED"}, ":failed": {"S": "FAILED"}, ":cancelled": {"S": "CANCELLED"}}
_MOST_ERROR = 10_000

Value = dict[str, Any]


def run_started(spec: RunSpec, started_at: str) -> dict[str, Any]:
    """Return the UpdateItem that says: this attempt runs."""
    values = {**_facts(spec), "status": _s("RUNNING"), "phase": _s("RUNNING"), "heartbeat_at": _time(started_at)}
    return _update(spec, values, {"started_at": _time(started_at)}, remove=("completed_at", "error_message"))


def run_beat(spec: RunSpec, at: str) -> dict[str, Any]:
    """Return the UpdateItem that says: it still runs."""
    return _update(spec, {"heartbeat_at": _time(at)}, {}, condition="#attempt = :attempt", final=False)


def run_ended(spec: RunSpec, started_at: str, ended_at: str, error: str) -> dict[str, Any]:
    """Return the UpdateItem that says how this attempt ended: with an error, or with success if that is empty."""
    status, phase = ("FAILED", "FAILED") if spec.is_direct else ("RUNNING", "STOPPED")
    if not error:
        status = phase = "SUCCEEDED"
    values = {**_facts(spec), "status": _s(status), "phase": _s(phase), "heartbeat_at": _time(ended_at)}
    if phase != "STOPPED":
        values["completed_at"] = _time(ended_at)
    if error:
        values["error_message"] = _s(error[:_MOST_ERROR])
    remove = () if error else ("error_message",)
    return _update(spec, values, {"started_at": _time(started_at)}, remove=remove)


def task_item(spec: RunSpec, task: TaskChanged) -> dict[str, Value]:
    """Return the item of a task in one attempt of its run."""
    values: dict[str, Value] = {
        "run_id": _s(spec.run_id),
        "task_run_id": _s(f"{spec.attempt:04d}#{task.name}"),
        "org_id": _s(spec.org_id),
        "attempt": _n(spec.attempt),
        "task_name": _s(task.name),
        "state": _s(task.state),
        "tries": _n(task.tries),
        "seconds": _n(round(task.seconds, 6)),
    }
    for name, at in (("started_at", task.started_at), ("finished_at", task.finished_at)):
        if at:
            values[name] = _time(at)
    if task.error:
        values["error_message"] = _s(task.error[:_MOST_ERROR])
    return values


def _facts(spec: RunSpec) -> dict[str, Value]:
    facts = {
        "attempt": _n(spec.attempt),
        "org_id": _s(spec.org_id),
        "flow_name": _s(spec.flow_name),
        "flow_version": _s(spec.flow_version),
        "correlation_id": _s(spec.correlation_id),
        "batch_id": _s(spec.batch_id),
        "environment": _s(spec.environment),
    }
    return facts if spec.shard is None else {**facts, "shard": _n(spec.shard)}


def _update(
    spec: RunSpec,
    values: Mapping[str, Value],
    first: Mapping[str, Value],
    *,
    remove: tuple[str, ...] = (),
    condition: str = _CONDITION,
    final: bool = True,
) -> dict[str, Any]:
    """Return an UpdateItem that sets ``values``, and those of ``first`` and ``created_at`` where there are none."""
    once = {**first, **({"created_at": next(iter(first.values()))} if first else {})}
    sets = [f"#{name} = :{name}" for name in values]
    sets += [f"#{name} = if_not_exists(#{name}, :{name})" for name in once]
    expression = f"SET {', '.join(sets)}"
    if remove:
        expression += f" REMOVE {', '.join(f'#{name}' for name in remove)}"
    used = {"attempt", *values, *once, *remove, *(("run_id", "status") if final else ())}
    given = {f":{name}": value for name, value in {"attempt": _n(spec.attempt), **values, **once}.items()}
    return {
        "TableName": spec.runs_table,
        "Key": {"run_id": _s(spec.run_id)},
        "UpdateExpression": expression,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {f"#{name}": name for name in sorted(used)},
        "ExpressionAttributeValues": {**given, **(_FINAL if final else {})},
    }


def _time(at: str) -> Value:
    """Return a time as PynamoDB's UTCDateTimeAttribute writes it."""
    return _s(datetime.fromisoformat(at).strftime("%Y-%m-%dT%H:%M:%S.%f+0000"))


def _s(text: str) -> Value:
    return {"S": text}


def _n(number: float) -> Value:
    return {"N": str(number)}
