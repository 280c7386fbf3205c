"""The durable record of runs: writing snapshots in batches, reading one. The bridge's recorder writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from pynamodb.exceptions import DoesNotExist, PutError

from dagy_queue.errors import AwsThrottled
from dagy_queue.records.base import dynamodb
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
    attempt: int = 1
    retries: int = 0
    task_arn: str = ""
    correlation_id: str = ""
    batch_id: str = ""
    shard: int | None = None
    environment: str = ""
    trigger_source: str = ""
    triggered_by: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error_message: str | None = None
    outcome: Mapping[str, Any] | None = None


_NAMES = tuple(f.name for f in fields(RunRecord))
_INTEGERS = ("attempt", "retries", "shard")


def find_run(run_id: str) -> RunRecord | None:
    """Return the record of a run; None if there is none. Raises an AwsError."""
    try:
        item = RunModel.get(run_id, consistent_read=True)
    except DoesNotExist:
        return None
    values = {name: getattr(item, name) for name in _NAMES}
    return RunRecord(**values | {name: int(values[name]) for name in _INTEGERS if values[name] is not None})


def put_run(record: RunRecord) -> None:
    """Write one record. Raises an AwsError."""
    _model(record).save()


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


def _model(record: RunRecord) -> RunModel:
    return RunModel(**{name: getattr(record, name) for name in _NAMES})
