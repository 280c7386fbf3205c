"""The durable record of runs: writing snapshots in batches, reading one. The bridge's recorder writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from pynamodb.exceptions import DoesNotExist, PutError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path

from dagy_queue.errors import AwsRefused, AwsThrottled
from dagy_queue.records.base import dynamodb, may_read
from dagy_queue.records.run_indexes import index_keys
from dagy_queue.records.run_model import RunModel

_WRITE = "dynamodb:BatchWriteItem"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What became of a run, as a plain value."""

    run_id: str
    status: str
    phase: str
    created_at: datetime
    org_id: str = ""
    flow_name: str = ""
    flow_version: str = ""
    """The version that runs: what 'latest' meant when the run was launched first, 'latest' itself before that."""
    artifact_sha256: str = ""
    attempt: int = 1
    retries: int = 0
    retries_of: Mapping[str, int] = field(default_factory=dict)
    """How many of them each budget has paid for, by the field of the request."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """How many each of these budgets allows, of a run that is over."""
    log: str = ""
    """Log group and stream of the last attempt, of a run that is over and whose task definition is ours."""
    task_arn: str = ""
    correlation_id: str = ""
    batch_id: str = ""
    shard: int | None = None
    environment: str = ""
    trigger_source: str = ""
    triggered_by: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    """When the run's container was last heard of. The ledger knows nothing of it: only containers write it."""
    completed_at: datetime | None = None
    error_message: str | None = None
    outcome: Mapping[str, Any] | None = None


_NAMES = tuple(f.name for f in fields(RunRecord))
_UNKNOWN_TO_WORKERS = (
    "task_arn",
    "log",
    "artifact_sha256",
    "created_at",
    "trigger_source",
    "triggered_by",
    "metadata",
)
_INTEGERS = ("attempt", "retries", "shard")


def find_run(run_id: str, org_id: str = "") -> RunRecord | None:
    """Return the record of a run; None if there is none, or (with ``org_id``) none of this org. Raises an AwsError.

    In a process with the setting ``records.org_id``, there are none of other orgs.
    """
    found = find_run_of_any_org(run_id)
    if found is None or not may_read(found.org_id):
        return None
    return found if org_id in ("", found.org_id) else None


def find_run_of_any_org(run_id: str) -> RunRecord | None:
    """Return the record of a run whatever its org is: to find out whether its id is taken. Raises an AwsError."""
    try:
        return _record(RunModel.get_of_any_org(run_id, consistent_read=True))
    except DoesNotExist:
        return None


def put_run(record: RunRecord) -> None:
    """Write one record. Raises an AwsError."""
    _model(record).save()


def replace_run(known: RunRecord, record: RunRecord) -> bool:
    """Write a record over the one that was read; return False if its run has gone on since, which stays written.

    Raises an AwsError.
    """
    same = (RunModel.status == known.status) & (RunModel.phase == known.phase) & (RunModel.attempt == known.attempt)
    return _saved(_model(record), same)


def add_run(record: RunRecord) -> None:
    """Write the record of a run that was just launched. Raises an AwsError.

    If its worker was faster, what that wrote stays, and only what it does not know is added.
    """
    model = _model(record)
    if not _saved(model, RunModel.run_id.does_not_exist()):
        with dynamodb("dynamodb:UpdateItem"):
            keys = index_keys(record.org_id, record.flow_name, record.batch_id, record.correlation_id)
            actions = [getattr(RunModel, name).set(getattr(record, name)) for name in _UNKNOWN_TO_WORKERS]
            model.update([*actions, *(Path(name).set(key) for name, key in keys.items())])


def write_runs(records: Iterable[RunRecord]) -> None:
    """Write records, 25 a call; of several records of one run the last counts. Raises an AwsError.

    Items that DynamoDB did not get to are repeated a few times; AwsThrottled means that some still are not written.
    """
    newest = {record.run_id: record for record in records}
    with dynamodb(_WRITE):
        try:
            with RunModel.batch_write() as batch:
                for record in newest.values():
                    batch.save(_model(record))
        except PutError as exc:
            if exc.cause is not None:
                raise
            raise AwsThrottled(
                f"{_WRITE}: DynamoDB did not get to all items; they are written later",
                code="UnprocessedItems",
                operation=_WRITE,
            ) from exc


def _saved(model: RunModel, condition: Condition) -> bool:
    """Write an item; return False if the condition does not hold."""
    try:
        model.save(condition)
    except AwsRefused as exc:
        if exc.code != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _record(item: RunModel) -> RunRecord:
    # What an older version did not write is as a record has it by itself.
    values = {name: value for name in _NAMES if (value := getattr(item, name)) is not None}
    return RunRecord(**values | {name: int(values[name]) for name in _INTEGERS if name in values})


def _model(record: RunRecord) -> RunModel:
    return RunModel(**{name: getattr(record, name) for name in _NAMES})
