"""What the tests of RunTask's parameters share: launches, one or any, and what is sent for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from dagy.contract import RunSpec
from dagy_queue.ids import AttemptId
from dagy_queue.launching.definitions import Definition
from dagy_queue.launching.placement import placement_of
from dagy_queue.launching.run_task import Launch, run_task_parameters
from dagy_queue.requests import ContainerRequest, LaunchRequest
from tests.unit.launching.kit import FIRST, container, placed_requests, settings, variables
from tests.unit.strategies import attempt_ids

ARN = "arn:aws:ecs:us-east-1:123456789012:task-definition/dagy-worker-0123456789abcdef:1"
ALONE = Definition(name=ARN, network_mode="awsvpc", containers=("worker",), essential=("worker",))
WITH_SIDECARS = replace(ALONE, containers=("log", "worker", "proxy"))


def spec_of(request: LaunchRequest, attempt_id: AttemptId) -> RunSpec:
    return RunSpec(
        run_id=attempt_id.run_id,
        attempt=attempt_id.attempt,
        org_id=request.org_id,
        flow_name=request.flow_name,
        flow_version=request.flow_version,
        artifact_uri="s3://bucket/artifact.zip",
        parameters=request.parameters,
    )


def launch_of(request: LaunchRequest | ContainerRequest, attempt_id: AttemptId = FIRST, **fields: Any) -> Launch:
    values: dict[str, Any] = {
        "placement": placement_of(request, settings()),
        "definition": ALONE,
        "worker": "worker",
        "batch_id": "",
        "shard": None,
        "report_uri": "s3://bucket/report.json",
        "tags": request.tags,
        "spec": spec_of(request, attempt_id) if isinstance(request, LaunchRequest) else None,
    }
    return Launch(attempt_id=attempt_id, request=request, **(values | fields))


def shards() -> st.SearchStrategy[dict[str, Any]]:
    in_batch = st.builds(lambda b, s: {"batch_id": str(b), "shard": s}, st.uuids(), st.integers(0, 10**6))
    return st.just({}) | in_batch


definitions = st.sampled_from([ALONE, WITH_SIDECARS, replace(ALONE, network_mode="bridge")])
launches = st.builds(
    lambda r, a, s, d: launch_of(r, a, definition=d, **s), placed_requests, attempt_ids, shards(), definitions
)


def environment(launch: Launch, name: str = "worker") -> dict[str, str]:
    return variables(container(run_task_parameters(launch), name))
