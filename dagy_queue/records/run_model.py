"""The model of a run's record. Users' programs read it; ``records/runs.py`` reads and writes it for the product."""

from __future__ import annotations

from typing import ClassVar

from pynamodb.attributes import NumberAttribute, UnicodeAttribute, UTCDateTimeAttribute

from dagy_queue.records.attributes import ObjectAttribute
from dagy_queue.records.base import BILLING, Record
from dagy_queue.settings import RecordsSettings


class RunModel(Record):
    """What became of a run: ``RunModel.get(run_id).status``. The bridge writes it, a moment after the ledger knows."""

    table_setting: ClassVar[str] = "runs_table"

    class Meta:
        """Bound to a table and region by ``bind_models``."""

        table_name = RecordsSettings().runs_table
        billing_mode = BILLING

    run_id = UnicodeAttribute(hash_key=True)
    org_id = UnicodeAttribute(default="")
    flow_name = UnicodeAttribute(default="")
    flow_version = UnicodeAttribute(default="")
    status = UnicodeAttribute()
    phase = UnicodeAttribute()
    attempt = NumberAttribute(default=1)
    retries = NumberAttribute(default=0)
    task_arn = UnicodeAttribute(default="")
    correlation_id = UnicodeAttribute(default="")
    batch_id = UnicodeAttribute(default="")
    shard = NumberAttribute(null=True)
    environment = UnicodeAttribute(default="")
    trigger_source = UnicodeAttribute(default="")
    triggered_by = UnicodeAttribute(default="")
    metadata = ObjectAttribute(default=dict)
    created_at = UTCDateTimeAttribute()
    started_at = UTCDateTimeAttribute(null=True)
    completed_at = UTCDateTimeAttribute(null=True)
    error_message = UnicodeAttribute(null=True)
    outcome = ObjectAttribute(null=True)
