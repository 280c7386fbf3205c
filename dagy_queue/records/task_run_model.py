"""The model of a task inside a flow run. The worker writes the items; ``records/task_runs.py`` reads them."""

from __future__ import annotations

from typing import ClassVar

from pynamodb.attributes import NumberAttribute, UnicodeAttribute, UTCDateTimeAttribute

from dagy_queue.records.base import BILLING, Record
from dagy_queue.settings import RecordsSettings

_DIGITS = 4


def task_run_id(attempt: int, task_name: str) -> str:
    """Return the sort key of a task run: tasks of one attempt stand together, attempts in their order."""
    return f"{attempt:0{_DIGITS}}#{task_name}"


class TaskRunModel(Record):
    """What became of one task in one attempt of a flow run: RUNNING, SUCCEEDED, FAILED, SKIPPED or TIMED_OUT."""

    table_setting: ClassVar[str] = "task_runs_table"

    class Meta:
        """Bound to a table and region by ``bind_models``."""

        table_name = RecordsSettings().task_runs_table
        billing_mode = BILLING

    run_id = UnicodeAttribute(hash_key=True)
    task_run_id = UnicodeAttribute(range_key=True)
    org_id = UnicodeAttribute(default="")
    attempt = NumberAttribute()
    task_name = UnicodeAttribute()
    state = UnicodeAttribute()
    tries = NumberAttribute(default=1)
    started_at = UTCDateTimeAttribute(null=True)
    finished_at = UTCDateTimeAttribute(null=True)
    seconds = NumberAttribute(null=True)
    error_message = UnicodeAttribute(null=True)
