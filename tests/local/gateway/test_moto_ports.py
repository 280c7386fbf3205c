"""What the local ECS keeps in moto."""

from __future__ import annotations

import asyncio
import time

import boto3
import pytest
from moto import mock_aws

from dagy_queue.local.gateway.moto_ports import MotoLogs
from dagy_queue.local.ports import LogLine

ACCOUNT = "123456789012"
"""moto's own, whose backends a client without an endpoint sees."""


@mock_aws
def test_of_a_container_that_floods_its_log_a_bounded_number_of_lines_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    logs = MotoLogs("us-east-1", ACCOUNT, most_lines=5)
    now = int(time.time() * 1000)
    for first in (0, 4, 8):
        lines = [LogLine(now + number, f"line {number}") for number in range(first, first + 4)]
        asyncio.run(logs.write_lines("/ecs/g", "s", lines))
    client = boto3.client("logs", "us-east-1")
    events = client.get_log_events(logGroupName="/ecs/g", logStreamName="s", startFromHead=True)["events"]
    assert [event["message"] for event in events] == [
        *(f"line {number}" for number in range(4)),
        "the local stack keeps 5 lines of a container",
    ]
