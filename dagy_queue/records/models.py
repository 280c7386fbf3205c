"""The PynamoDB models, all in one place for those who use them.

``from dagy_queue.records.models import FlowModel`` is what a user's program writes. Dispatchers, the bridge and the
command line bind the models to their settings here; ``records/tables.py`` makes their tables.
"""

from __future__ import annotations

import os
from typing import Any

from dagy_queue.records.attributes import LATEST
from dagy_queue.records.base import Record
from dagy_queue.records.deployment_model import DeploymentModel
from dagy_queue.records.flow_model import FlowModel, flow_key
from dagy_queue.records.package_model import DepPackageModel
from dagy_queue.records.run_model import RunModel
from dagy_queue.records.task_run_model import TaskRunModel
from dagy_queue.settings import Settings

__all__ = [
    "LATEST",
    "MODELS",
    "DepPackageModel",
    "DeploymentModel",
    "FlowModel",
    "RunModel",
    "TaskRunModel",
    "bind_models",
    "flow_key",
]

MODELS: tuple[type[Record], ...] = (FlowModel, DeploymentModel, DepPackageModel, RunModel, TaskRunModel)
"""Every model that has a table."""
_MAX_CONNECTIONS = 64
"""Of one process to DynamoDB, as many as to the other services."""


def bind_models(settings: Settings) -> None:
    """Point the models at the configured tables and region. The endpoint is AWS_ENDPOINT_URL, as for boto3."""
    for model in MODELS:
        meta: Any = model.Meta
        meta.table_name = getattr(settings.records, model.table_setting)
        meta.region = settings.aws.region
        meta.host = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or os.environ.get("AWS_ENDPOINT_URL")
        meta.connect_timeout_seconds = settings.aws.connect_timeout
        meta.read_timeout_seconds = settings.aws.read_timeout
        meta.max_pool_connections = _MAX_CONNECTIONS
        model._connection = None
    Record.only_org = settings.records.org_id
    Record.bound = True
    _share_connection()


def _share_connection() -> None:
    """Let the models have one client. PynamoDB makes one for each, which takes 0.1 s of CPU and sockets of its own."""
    shared, *others = [model.table() for model in MODELS]
    for table in others:
        shared.connection.add_meta_table(table.get_meta_table())
        table.connection = shared.connection
