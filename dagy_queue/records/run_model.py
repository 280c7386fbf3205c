"""The model of a run's record. Users' programs read it; ``records/runs.py`` reads and writes it for the product."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pynamodb.attributes import NumberAttribute, UnicodeAttribute, UTCDateTimeAttribute

from dagy_queue.records.attributes import ObjectAttribute
from dagy_queue.records.base import BILLING, Record, may_read
from dagy_queue.records.run_indexes import (
    RunsByBatch,
    RunsByCorrelation,
    RunsByFlow,
    RunsByOrg,
    index_keys,
    with_index_keys,
)
from dagy_queue.settings import RecordsSettings


class RunModel(Record):
    """What became of a run: ``RunModel.get(run_id).status``.

    The bridge writes it, a moment after the ledger knows; a container adds ``heartbeat_at`` while it runs.
    """

    table_setting: ClassVar[str] = "runs_table"

    class Meta:
        """Bound to a table and region by ``bind_models``."""

        table_name = RecordsSettings().runs_table
        billing_mode = BILLING

    run_id = UnicodeAttribute(hash_key=True)
    org_id = UnicodeAttribute(default="")
    flow_name = UnicodeAttribute(default="")
    flow_version = UnicodeAttribute(default="")
    artifact_sha256 = UnicodeAttribute(default="")
    status = UnicodeAttribute()
    phase = UnicodeAttribute()
    attempt = NumberAttribute(default=1)
    retries = NumberAttribute(default=0)
    retries_of = ObjectAttribute(default=dict)
    limits = ObjectAttribute(default=dict)
    log = UnicodeAttribute(default="")
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
    heartbeat_at = UTCDateTimeAttribute(null=True)
    completed_at = UTCDateTimeAttribute(null=True)
    error_message = UnicodeAttribute(null=True)
    outcome = ObjectAttribute(null=True)

    by_org = RunsByOrg()
    by_flow = RunsByFlow()
    by_batch = RunsByBatch()
    by_correlation = RunsByCorrelation()

    @classmethod
    def get(cls, *args: Any, **options: Any) -> Self:
        """Read a run. Raises ``RunModel.DoesNotExist``, also if ``records.org_id`` is another org, or an AwsError."""
        found = cls.get_of_any_org(*args, **options)
        if not may_read(found.org_id):
            raise cls.DoesNotExist
        return found

    @classmethod
    def get_of_any_org(cls, *args: Any, **options: Any) -> Self:
        """Read a run whatever its org is: to find out whether its id is taken. Raises as :meth:`get`."""
        return super().get(*args, **options)

    def serialize(self, null_check: bool = True) -> dict[str, dict[str, Any]]:
        """Return the item as it is written, with its keys in the indexes."""
        keys = index_keys(self.org_id, self.flow_name, self.batch_id, self.correlation_id)
        return with_index_keys(super().serialize(null_check), keys)
