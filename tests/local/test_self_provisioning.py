"""A gateway that makes what production has by itself, and is reached by another name than its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from dagy_queue.errors import LocalStackError
from dagy_queue.local import endpoint
from dagy_queue.local.environment import exports
from dagy_queue.local.free_port import free_port
from dagy_queue.local.gateway import GatewayOptions
from dagy_queue.local.gateway.routes import LocalRoutes
from dagy_queue.local.processes import Child
from scripts.demo_support.attached import AttachedStack, read_environment
from tests.integration.waiting import eventually


def start(log: Path, **environment: str) -> tuple[Child, str, int]:
    """Start a gateway that is to provision; return it, the URL it is known by, and its port."""
    port = free_port()
    url = f"http://localhost:{port}"
    options = GatewayOptions(port=port, url=url, provision=True).to_json()
    command = [sys.executable, "-m", "dagy_queue.local.gateway", "--options", options]
    return Child("aws", command, log=log, environment={**os.environ, **environment}), url, port


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A gateway that has provisioned itself: the URL that it is known by, and its port."""
    child, url, port = start(tmp_path_factory.mktemp("aws") / "aws.log", MOTO_ACCOUNT_ID="111122223333")
    child.wait_until(lambda: endpoint.health(url) is not None, 60, "healthy")
    yield url, port
    child.terminate()
    eventually(lambda: child.poll() is not None, "it ends")
    assert child.poll() == 0


def test_it_is_healthy_when_all_is_there_and_is_known_by_its_url(aws: tuple[str, int]) -> None:
    url, port = aws
    session = boto3.session.Session("local", "local", region_name="us-east-1")
    here = f"http://127.0.0.1:{port}"
    clients = {name: session.client(name, endpoint_url=here) for name in ("sqs", "s3", "dynamodb")}
    queue_url = clients["sqs"].get_queue_url(QueueName="dagy-task-events")["QueueUrl"]
    assert queue_url == f"{url}/000000000000/dagy-task-events"
    assert {bucket["Name"] for bucket in clients["s3"].list_buckets()["Buckets"]} == {"dagy-artifacts", "dagy-traces"}
    assert "DAGY_RUNS" in clients["dynamodb"].list_tables()["TableNames"]
    for client in clients.values():
        client.close()


def test_events_find_their_rule_whatever_account_the_caller_has_moto_play(aws: tuple[str, int]) -> None:
    url, _ = aws
    cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/dagy"
    detail = {"clusterArn": cluster, "lastStatus": "STOPPED", "startedBy": "dagy/run-1/0"}
    event = {"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": detail}
    endpoint.call(url, "events", event)
    assert endpoint.call(url, "stats")["events"] == {"put": 1, "matched": 1, "delivered": 1}


def test_provisioning_again_changes_nothing_and_prints_the_environment(aws: tuple[str, int], tmp_path: Path) -> None:
    url, _ = aws
    command = [sys.executable, "-m", "dagy_queue.local.provision", url, "--redis-url", "redis://127.0.0.1:6399/0"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second
    file = tmp_path / "env"
    file.write_text(first)
    stack = AttachedStack.of(file, tmp_path)
    assert (stack.endpoint_url, stack.redis_url) == (url, "redis://127.0.0.1:6399/0")
    assert stack.environment["DAGY_EVENT_QUEUE_URL"] == f"{url}/000000000000/dagy-task-events"


def test_one_that_cannot_provision_ends_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "aws.log"
    child, _, _ = start(log, DAGY_QUEUE__BRIDGE__WAIT_SECONDS="never")
    eventually(lambda: child.poll() is not None, "it ends", 60)
    assert child.poll() == 1
    assert "bridge.wait_seconds" in log.read_text()
    assert log.read_text().endswith("the local AWS could not be provisioned\n")


def test_one_that_is_stopped_while_it_provisions_leaves_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "aws.log"
    child, _, _ = start(log)
    eventually(lambda: "http://" in log.read_text(), "it listens", 60)
    os.kill(child.pid, signal.SIGTERM)
    eventually(lambda: child.poll() is not None, "it ends", 60)
    assert child.poll() in (0, -signal.SIGTERM, 143)


def test_it_is_not_healthy_before() -> None:
    routes = LocalRoutes(ecs=None, sqs=None, events=None, calls=Counter(), about={})
    assert asyncio.run(routes.answer("GET", "/_local/health", b"")).status == 200
    routes.is_ready = False
    answer = asyncio.run(routes.answer("GET", "/_local/health", b""))
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "NotReady")


def test_an_aws_that_is_not_there_is_one_message() -> None:
    command = [sys.executable, "-m", "dagy_queue.local.provision", f"http://127.0.0.1:{free_port()}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("provision: Could not connect")
    assert done.stderr.count("\n") == 1


def test_an_environment_survives_its_file() -> None:
    environment = {"A": "1", "B": "two words", "C": "", "D": "it's $HOME"}
    assert read_environment(f"# a remark\n\n{exports(environment)}") == environment


def test_a_file_that_leads_to_no_stack_is_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("export A=1\nexport AWS_ENDPOINT_URL=http://127.0.0.1:4566\n")
    with pytest.raises(LocalStackError, match="does not set DAGY_EVENT_QUEUE_URL, DAGY_REDIS_URL"):
        AttachedStack.of(file, tmp_path)
