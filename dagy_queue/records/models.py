"""The PynamoDB models, all in one place for those who use them, and the making of their tables.

``from dagy_queue.records.models import FlowModel`` is what a user's program writes. Dispatchers, the bridge and the
command line bind the models to their settings here.
"""

from __future__ import annotations

import os
from typing import Any

from dagy_queue.records.attributes import LATEST
from dagy_queue.records.base import Record, dynamodb
from dagy_queue.records.deployment_model import DeploymentModel
from dagy_queue.records.flow_model import FlowModel, flow_key
from dagy_queue.records.package_model import DepPackageModel
from dagy_queue.records.run_model import RunModel
from dagy_queue.settings import Settings

__all__ = [
    "LATEST",
    "MODELS",
    "DepPackageModel",
    "DeploymentModel",
    "FlowModel",
    "RunModel",
    "bind_models",
    "create_tables",
    "flow_key",
]

MODELS: tuple[type[Record], ...] = (FlowModel, DeploymentModel, DepPackageModel, RunModel)
"""Every model that has a table."""


def bind_models(settings: Settings) -> None:
    """Point the models at the configured tables and region. The endpoint is AWS_ENDPOINT_URL, as for boto3."""
    for model in MODELS:
        meta: Any = model.Meta
        meta.table_name = getattr(settings.records, model.table_setting)
        meta.region = settings.aws.region
        meta.host = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or os.environ.get("AWS_ENDPOINT_URL")
        meta.connect_timeout_seconds = settings.aws.connect_timeout
        meta.read_timeout_seconds = settings.aws.read_timeout
        model._connection = None
    Record.bound = True


def create_tables(settings: Settings) -> list[str]:
    """Create the tables that do not exist yet; return the names of all of them."""
    bind_models(settings)
    with dynamodb("dynamodb:CreateTable"):
        for model in MODELS:
            if not model.exists():
                model.create_table(wait=True)
    return [model.Meta.table_name for model in MODELS]
