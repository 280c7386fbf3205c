"""The local ECS that the launches of docs/launch-options.md go to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from dagy_queue import DeploymentModel, DepPackageModel, FlowModel
from dagy_queue.aws.clients import AwsClients
from dagy_queue.launching import attempts, direct
from dagy_queue.local.environment import environ
from dagy_queue.local.stack import LocalStack
from dagy_queue.records.models import bind_models
from dagy_queue.settings import load_settings
from tests.docs.launch_kit import BASELINE, LAUNCHING, ORG, STUB, Call


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """AWS, with a flow, a deployment and a task definition in it; nothing dispatches."""
    with LocalStack(simulate=True) as stack, environ({**stack.environment, "DAGY_ECS_WORKER_IMAGE": STUB}):
        bind_models(load_settings())
        for version in ("0.9.0", "1.0.0"):
            FlowModel(
                flow_name="etl_pipeline",
                flow_version=version,
                org_id=ORG,
                spec="{}",
                artifact_s3_uri=f"s3://your-artifact-bucket/flows/etl_pipeline/{version}/artifact.zip",
            ).save()
        DepPackageModel(
            slug="my-deps",
            package_s3_uri="s3://your-artifact-bucket/dep-packages/my-deps.zip",
            org_id=ORG,
            version="1.0.0",
        ).save()
        for name in ("production", "develop"):
            deployment = DeploymentModel(deployment_name=name, environment="production", dep_package_slugs=["my-deps"])
            deployment.defaults = {"extra_env_vars": {"LEVEL": "deployment"}, "workload_profile": "large"}
            deployment.save()
        ecs = boto3.client("ecs")
        ecs.create_cluster(clusterName="my-fargate-cluster")
        ecs.register_task_definition(**BASELINE)
        yield stack


@pytest.fixture(scope="module")
def clients() -> Any:
    """Clients are slow to make: rows with the same AWS settings and credentials share theirs."""
    made = cache(lambda settings, _access_key: AwsClients(settings))
    return lambda settings: made(settings, os.environ["AWS_ACCESS_KEY_ID"])


@pytest.fixture(scope="module")
def ecs(stack: LocalStack) -> Any:
    """ECS's API, to look at what was made."""
    return boto3.client("ecs")


@pytest.fixture
def calls(stack: LocalStack, clients: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Call]]:
    """The calls of RunTask, noted as they go to the local ECS; in a directory with the guide's template."""
    noted: list[Call] = []
    run_task = attempts.run_task

    def note(aws: AwsClients, region: str, parameters: dict[str, Any]) -> str:
        signer: Any = aws.in_region(region).ecs
        noted.append(Call(region, signer._request_signer._credentials.access_key, parameters))
        return run_task(aws, region, parameters)

    monkeypatch.setattr(attempts, "run_task", note)
    monkeypatch.setattr(direct, "AwsClients", clients)
    template = re.search(r"^```json\n(.*?)^```$", LAUNCHING.read_text(), re.DOTALL | re.MULTILINE)
    assert template
    (tmp_path / "task-definition.json").write_text(template[1])
    monkeypatch.chdir(tmp_path)
    return noted
