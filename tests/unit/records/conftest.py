"""DynamoDB in memory, with our tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from dagy_queue.records.base import Record
from dagy_queue.records.tables import create_tables
from dagy_queue.settings import Settings, load_settings

TABLES = {
    "flows_table": "TEST_FLOWS",
    "deployments_table": "TEST_DEPLOYMENTS",
    "dep_packages_table": "TEST_PACKAGES",
    "runs_table": "TEST_RUNS",
    "task_runs_table": "TEST_TASK_RUNS",
}


@pytest.fixture
def config() -> Settings:
    return load_settings(records=TABLES, aws={"region": "eu-west-1"})


@pytest.fixture
def tables(config: Settings) -> Iterator[list[str]]:
    with mock_aws():
        yield create_tables(config)


@pytest.fixture
def unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models as they are in a process that has not used them yet."""
    monkeypatch.setattr(Record, "bound", False)
