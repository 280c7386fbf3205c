"""DynamoDB in memory, with our tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from dagy_queue.records.models import create_tables
from dagy_queue.settings import Settings, load_settings


@pytest.fixture
def config() -> Settings:
    return load_settings(records={"flows_table": "TEST_FLOWS"}, aws={"region": "eu-west-1"})


@pytest.fixture
def tables(config: Settings) -> Iterator[list[str]]:
    with mock_aws():
        yield create_tables(config)
