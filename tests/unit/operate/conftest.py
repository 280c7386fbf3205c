"""What commands work on: the registry and a bucket in memory, and a process whose ledger is the test's own Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from dagy_queue import settings as settings_module
from dagy_queue.errors import DagyQueueError
from dagy_queue.operate import cli
from dagy_queue.producer import status
from dagy_queue.producer.publisher import Publisher
from dagy_queue.records import run_queries
from dagy_queue.records.tables import create_tables
from dagy_queue.settings import Settings, load_settings
from tests.unit.operate.kit import Records, World
from tests.unit.producer.conftest import process, publisher, publisher_of_session

__all__ = ["process", "publisher", "publisher_of_session"]

Command = Callable[..., str]


@pytest.fixture
def registry() -> Iterator[Settings]:
    """Settings with a bucket, and the tables that they name."""
    with mock_aws():
        config = load_settings(storage={"artifact_bucket": "artifacts"}, records={"flows_table": "TEST_FLOWS"})
        create_tables(config)
        boto3.client("s3", "us-east-1").create_bucket(Bucket="artifacts")
        yield config


@pytest.fixture
def command(registry: Settings, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command of dagy-queue; return what it prints, or the message of the error it ends with."""
    monkeypatch.setattr(settings_module, "settings", lambda: registry)

    def run(*arguments: Any, code: int = 0) -> str:
        answer = CliRunner().invoke(cli.app, [str(each) for each in arguments])
        if isinstance(answer.exception, DagyQueueError):
            assert code == 1, answer.exception
            return str(answer.exception)
        assert answer.exit_code == code, answer.output
        return answer.output

    return run


@pytest.fixture
def world(process: Publisher, monkeypatch: pytest.MonkeyPatch) -> World:
    """Runs and batches, in a process without AWS: nothing is recorded."""
    monkeypatch.setattr(status, "find_record", lambda *_, **__: None)
    return World(process)


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch, world: World) -> Records:
    """A record of runs in the place of DynamoDB."""
    found = Records()
    monkeypatch.setattr(run_queries, "every_run", found.every_run)
    monkeypatch.setattr(run_queries, "runs_asked_for", found.query)
    monkeypatch.setattr(status, "find_record", found.get)
    return found
