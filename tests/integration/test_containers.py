"""Any container, with no Dagy inside: by image, by an existing task definition, one or many."""

from __future__ import annotations

from typing import Any

import pytest

from dagy_queue import ContainerRequest, RequestInvalid, RunFailed, RunStatus, fan_out, launch_container
from dagy_queue.aws.clients import AwsClients
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import ORG, TIMEOUT

ANALYZE = (
    "import sys; year = int(sys.argv[2]); print('Analyzing portfolio for year:', year); sys.exit(year % 100 == 13)"
)


@pytest.fixture
def aws(flows: LocalStack) -> AwsClients:
    return AwsClients(flows.settings().aws)


@pytest.fixture(scope="module")
def two_containers(flows: LocalStack) -> str:
    """A task definition with a sidecar that outlives its worker, known by its family."""
    ecs = AwsClients(flows.settings().aws).ecs_control
    image = {"image": "python:3.12-slim", "command": ["python", "-c", "import time; time.sleep(600)"]}
    definition: dict[str, Any] = {
        "family": "with-sidecar",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [
            {"name": "proxy", "essential": False, **image},
            {"name": "main", "essential": True, **image},
        ],
    }
    ecs.register_task_definition(**definition)
    return "with-sidecar"


def log_of(aws: AwsClients, stack: LocalStack, task_arn: str, container: str = "worker") -> list[str]:
    import boto3

    logs = boto3.client("logs", endpoint_url=stack.endpoint_url, region_name="us-east-1")
    stream = f"dagy/{container}/{task_arn.rpartition('/')[2]}"
    events = logs.get_log_events(logGroupName="/ecs/dagy-worker", logStreamName=stream)["events"]
    return [event["message"] for event in events]


def test_a_command_runs_in_an_image_and_its_output_is_in_the_log(flows: LocalStack, aws: AwsClients) -> None:
    run = launch_container(
        org_id=ORG,
        image="python:3.12-slim",
        command=["python", "-c", "import os; print(os.environ['GREETING'])"],
        environment={"GREETING": "hello"},
    )
    result = run.get(timeout=TIMEOUT)
    assert result["exit_code"] == 0
    assert log_of(aws, flows, result["task_arn"]) == ["hello"]


def test_a_container_per_year_with_one_failing_and_retried(flows: LocalStack) -> None:
    image = ContainerRequest(org_id=ORG, image="python:3.12-slim", max_retries=1, retry_delay="100ms")
    years = [{"command": ["python", "-c", ANALYZE, "-y", str(year)]} for year in range(1999, 2020)]
    batch = fan_out(image, shards=years)
    last = list(batch.watch())[-1]
    assert (last.done, last.failed) == (21, 1)
    failed = batch.shard(2013 - 1999)
    assert (failed.status(), failed.entry().attempt) == (RunStatus.FAILED, 2)


def test_an_existing_task_definition_is_launched_and_its_sidecar_does_not_count(two_containers: str) -> None:
    base = {"org_id": ORG, "task_definition": two_containers, "container_name": "main"}
    run = launch_container(**base, command=["python", "-c", "pass"])
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    assert run.entry().flow_name == "with-sidecar"
    with pytest.raises(RunFailed, match="exit code 7"):
        launch_container(**base, command=["python", "-c", "raise SystemExit(7)"]).get(timeout=TIMEOUT)


def test_a_container_name_that_the_definition_does_not_have_is_refused_with_ecs_words(two_containers: str) -> None:
    run = launch_container(org_id=ORG, task_definition=two_containers, container_name="nobody", command=["true"])
    with pytest.raises(RunFailed, match="nobody"):
        run.get(timeout=TIMEOUT)


def test_a_task_definition_that_does_not_exist_is_named() -> None:
    with pytest.raises(RunFailed, match="could not be launched"):
        launch_container(org_id=ORG, task_definition="no-such-family").get(timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({}, "what to run: an image, a task_definition or a task_definition_template"),
        ({"image": "i", "task_definition": "t"}, "an image or a task_definition, not both"),
    ],
)
def test_a_container_needs_either_an_image_or_a_task_definition(
    flows: LocalStack, source: dict[str, str], problem: str
) -> None:
    with pytest.raises(RequestInvalid, match=problem):
        launch_container(org_id=ORG, **source)


def test_exit_codes_of_other_images_are_given_no_meaning_of_ours(flows: LocalStack) -> None:
    run = launch_container(org_id=ORG, image="busybox", command=["sh", "-c", "exit 3"])
    with pytest.raises(RunFailed, match=r"the container failed \(exit code 3\)"):
        run.get(timeout=TIMEOUT)
