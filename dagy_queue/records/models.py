"""PynamoDB models. Dispatchers read flows, ``dagy-queue flow push`` writes them."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from pynamodb.attributes import JSONAttribute, UnicodeAttribute, UTCDateTimeAttribute
from pynamodb.models import Model

from dagy_queue.settings import RecordsSettings, Settings

LATEST = "latest"
"""The version that means: the one registered last."""


def flow_key(org_id: str, flow_name: str) -> str:
    """Return the partition key of a flow: org first, so that no read can cross orgs."""
    return f"{org_id}#{flow_name}"


class FlowModel(Model):
    """One version of a flow of one org, or (version ``latest``) a pointer to the newest one."""

    class Meta:
        """Bound to a table and region by :func:`bind_models`."""

        table_name = RecordsSettings().flows_table
        billing_mode = "PAY_PER_REQUEST"

    flow_id = UnicodeAttribute(hash_key=True)
    flow_version = UnicodeAttribute(range_key=True)
    flow_name = UnicodeAttribute()
    org_id = UnicodeAttribute()
    flow_spec_json = JSONAttribute(default=dict)
    artifact_s3_uri = UnicodeAttribute(default="")
    artifact_sha256 = UnicodeAttribute(default="")
    status = UnicodeAttribute(default="ACTIVE")
    registered_at = UTCDateTimeAttribute(default_for_new=lambda: datetime.now(UTC))
    resolves_to = UnicodeAttribute(null=True)


def bind_models(settings: Settings) -> None:
    """Point the models at the configured tables and region. The endpoint is AWS_ENDPOINT_URL, as for boto3."""

    meta = FlowModel.Meta
    meta.table_name = settings.records.flows_table
    meta.region = settings.aws.region  # type: ignore[attr-defined]
    meta.host = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or os.environ.get("AWS_ENDPOINT_URL")  # type: ignore[attr-defined]
    FlowModel._connection = None


def create_tables(settings: Settings) -> list[str]:
    """Create the tables that do not exist yet; return the names of all of them."""
    bind_models(settings)
    if not FlowModel.exists():
        FlowModel.create_table(wait=True)
    return [settings.records.flows_table]
