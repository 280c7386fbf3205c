"""What several unit tests share: AWS clients that answer from a script, ECS events, settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.stub import Stubber

from dagy_queue.ledger import RedisConnection
from dagy_queue.settings import Settings, load_settings

REGION = "us-east-1"
CLUSTER_ARN = "arn:aws:ecs:us-east-1:123456789012:cluster/dagy"
TASK_ARN = "arn:aws:ecs:us-east-1:123456789012:task/dagy/0123456789abcdef"


def settings_on(connection: RedisConnection, **sections: Any) -> Settings:
    """Return settings whose Redis is the test's."""
    return load_settings(**{"redis": {"url": connection.settings.url}, **sections})


def client(service: str) -> Any:
    """Return a client that can sign and reaches nobody."""
    return boto3.client(service, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


@contextmanager
def stubbed(service: str) -> Iterator[tuple[Any, Stubber]]:
    """Yield a client and its script; at the end everything in the script must have been asked for."""
    made = client(service)
    with Stubber(made) as stub:
        yield made, stub
        stub.assert_no_pending_responses()


def event(run_id: str = "run", attempt: int = 1, **detail: Any) -> dict[str, Any]:
    """Return an ECS Task State Change event as EventBridge delivers it."""
    return {
        "version": "0",
        "id": "9bcdac79-b31f-4d3d-9410-fbd727c29fab",
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": REGION,
        "resources": [TASK_ARN],
        "detail": {
            "clusterArn": CLUSTER_ARN,
            "taskArn": TASK_ARN,
            "lastStatus": "RUNNING",
            "desiredStatus": "RUNNING",
            "startedBy": f"dagy/{run_id}/{attempt}",
            "version": 3,
            "containers": [{"name": "worker", "lastStatus": "RUNNING"}],
            **detail,
        },
    }


def stopped_event(run_id: str = "run", attempt: int = 1, exit_code: int | None = 0, **detail: Any) -> dict[str, Any]:
    """Return the event of a task that stopped."""
    container = {"name": "worker", "lastStatus": "STOPPED"} | ({} if exit_code is None else {"exitCode": exit_code})
    stopped = {
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "version": 6,
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "containers": [container],
        "createdAt": "2026-01-01T00:00:00Z",
        "startedAt": "2026-01-01T00:00:20Z",
        "stoppedAt": "2026-01-01T00:01:00Z",
    }
    return event(run_id, attempt, **(stopped | detail))


def body(value: Any) -> str:
    """Return an event as the body of an SQS message."""
    return json.dumps(value)
