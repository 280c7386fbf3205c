"""Flows under the names that the samples of Dagy's guide launch; each tells what it got."""

from __future__ import annotations

import os
from typing import Any

from dagy import flow, task


@task
def tell(parameters: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**parameters, **{name: os.environ[name] for name in names if name in os.environ}}


@task
def use_package() -> str:
    from custom_module.helpers import helper_function  # type: ignore[import-not-found]  # of my-deps.zip

    return str(helper_function.__module__)


@flow(name="etl_pipeline", version="1.0.0")
def etl_pipeline(**parameters: Any) -> object:
    return tell(parameters, "OUTPUT_BUCKET", "TEMP_BUCKET", "DAGY_CORRELATION_ID")


@flow(name="process_shard", version="1.0.0")
def process_shard(shard: str) -> object:
    return tell({"shard": shard}, "DAGY_CORRELATION_ID")


@flow(name="train_model", version="1.0.0")
def train_model() -> object:
    return tell({})


@flow(name="large_data_process", version="1.0.0")
def large_data_process() -> object:
    return tell({})


@flow(name="my_pipeline", version="1.0.0")
def my_pipeline(data: str) -> object:
    return use_package()


@flow(name="api_pipeline", version="1.0.0")
def api_pipeline() -> object:
    return tell({}, "DB_PASSWORD", "API_KEY")
