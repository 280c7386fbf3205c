"""A settings file of production in the working directory does not lead the local stack's processes astray."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dagy_queue.local.commands import command_of
from dagy_queue.local.environment import process_environment
from dagy_queue.local.readiness import dispatchers_ready
from dagy_queue.local.stack import LocalStack

FILE = """
[redis]
url = "redis://production:6379/0"
result_url = "redis://production:6379/1"
[aws]
region = "eu-west-1"
[ecs]
cluster = "production"
subnets = ["subnet-production"]
execution_role_arn = "arn:aws:iam::999999999999:role/production"
log_group = "/ecs/production"
max_cpu = 4096
[bridge]
queue_url = "https://sqs.eu-west-1.amazonaws.com/999999999999/production"
queue_name = "my-events"
[storage]
artifact_bucket = "production"
[records]
flows_table = "MY_FLOWS"
[profiles."etl_pipeline:large_dataset"]
cpu = 4096
memory = 16384
"""


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalStack]:
    (tmp_path / "dagy-queue.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    with LocalStack(simulate=True) as running:
        yield running


def config(stack: LocalStack) -> Any:
    """Return the settings of a process of the stack, as it says itself."""
    command = [*command_of("dispatcher", ())[:-1], "config", "--json"]
    done = subprocess.run(
        command, env=process_environment(stack.environment), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_what_leads_somewhere_is_the_stacks_and_the_rest_is_the_files(stack: LocalStack) -> None:
    found = config(stack)
    assert found == json.loads(stack.settings().model_dump_json(by_alias=True))
    assert (found["redis"]["url"], found["redis"]["result_url"]) == (stack.redis_url, "")
    assert found["ecs"]["cluster"] == stack.provisioned.cluster_arn
    assert found["storage"]["artifact_bucket"] == stack.provisioned.artifact_bucket
    assert found["bridge"]["queue_url"].endswith("/my-events")
    assert found["records"]["flows_table"] in stack.provisioned.tables
    assert found["profiles"] == {"etl_pipeline:large_dataset": {"cpu": 4096, "memory": 16384}}
    assert not [value for value in json.dumps(found).split('"') if "production" in value and "/ecs/" not in value]


def test_a_dispatcher_of_the_stack_starts(stack: LocalStack) -> None:
    child = stack.spawn("dispatcher")
    child.wait_until(lambda: dispatchers_ready(stack.redis_url, 1), 30, "ready")
