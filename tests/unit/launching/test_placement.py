from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from dagy_queue.launching.placement import Placement, placement_of
from dagy_queue.requests import ContainerRequest, LaunchRequest
from tests.unit.launching.kit import placed_requests, settings
from tests.unit.strategies import unhurried

SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]
OURS = [{"capacityProvider": "our-gpus", "weight": 1, "base": 0}]
ARN = "arn:aws:ecs:eu-west-1:123456789012:cluster/nightly"


def placed(request: dict[str, Any] | None = None, **ecs: Any) -> Placement:
    asked = ContainerRequest(org_id="acme", image="job", **(request or {}))
    return placement_of(asked, settings(ecs=ecs, aws={"region": "us-east-1"}))


@pytest.mark.parametrize(
    ("request_", "ecs", "launch_type", "strategy"),
    [
        ({}, {}, "FARGATE", []),
        ({}, {"launch_type": "EC2"}, "EC2", []),
        ({}, {"launch_type": "EC2", "capacity_provider_strategy": SPOT}, "", SPOT),
        ({"launch_type": "EC2"}, {}, "EC2", []),
        ({"launch_type": "EC2"}, {"capacity_provider_strategy": SPOT}, "EC2", []),
        ({"capacity_provider_strategy": OURS}, {}, "", OURS),
        ({"capacity_provider_strategy": OURS}, {"capacity_provider_strategy": SPOT}, "", OURS),
        ({"launch_type": "EC2"}, {"run_task_kwargs": {"launchType": "FARGATE"}}, "FARGATE", []),
        ({"launch_type": "EC2"}, {"run_task_kwargs": {"capacityProviderStrategy": SPOT}}, "", SPOT),
        ({"capacity_provider_strategy": OURS}, {"run_task_kwargs": {"launchType": "FARGATE"}}, "FARGATE", []),
        (
            {"run_task_kwargs": {"launchType": "EC2"}},
            {"run_task_kwargs": {"capacityProviderStrategy": SPOT}},
            "EC2",
            [],
        ),
        ({"run_task_kwargs": {"capacityProviderStrategy": OURS}}, {"run_task_kwargs": {"launchType": "EC2"}}, "", OURS),
    ],
)
def test_the_highest_level_says_on_what_a_task_runs(
    request_: dict[str, Any], ecs: dict[str, Any], launch_type: str, strategy: list[dict[str, Any]]
) -> None:
    found = placed(request_, **ecs)
    assert (found.launch_type, [dict(item) for item in found.strategy]) == (launch_type, strategy)


@unhurried
@given(placed_requests)
def test_a_task_runs_by_launch_type_or_by_strategy(request_: LaunchRequest | ContainerRequest) -> None:
    found = placement_of(request_, settings(ecs={"capacity_provider_strategy": SPOT}))
    assert bool(found.launch_type) != bool(found.strategy)


@pytest.mark.parametrize(
    ("request_", "on_fargate"),
    [
        ({}, True),
        ({"launch_type": "EC2"}, False),
        ({"capacity_provider_strategy": SPOT}, True),
        ({"capacity_provider_strategy": OURS}, False),
        ({"run_task_kwargs": {"launchType": "EXTERNAL"}}, False),
    ],
)
def test_fargate_is_known_by_launch_type_and_providers(request_: dict[str, Any], on_fargate: bool) -> None:
    assert placed(request_).on_fargate is on_fargate


@pytest.mark.parametrize(
    ("request_", "ecs", "region", "cluster"),
    [
        ({}, {}, "us-east-1", "dagy"),
        ({"region": "eu-west-3"}, {}, "eu-west-3", "dagy"),
        ({"cluster": ARN}, {}, "eu-west-1", ARN),
        ({}, {"cluster": ARN}, "eu-west-1", ARN),
        ({"cluster": "other"}, {"cluster": ARN}, "us-east-1", "other"),
        ({"cluster": "other", "run_task_kwargs": {"cluster": ARN}}, {}, "eu-west-1", ARN),
        ({"run_task_kwargs": {"cluster": "arn:half"}}, {}, "us-east-1", "arn:half"),
    ],
)
def test_a_clusters_arn_says_its_region(
    request_: dict[str, Any], ecs: dict[str, Any], region: str, cluster: str
) -> None:
    assert (placed(request_, **ecs).region, placed(request_, **ecs).cluster) == (region, cluster)


def network(request: dict[str, Any] | None = None, **ecs: Any) -> dict[str, Any]:
    found = placed(request, **ecs).network
    assert found is not None
    return dict(found)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, {"subnets": ["subnet-s"], "securityGroups": ["sg-s"], "assignPublicIp": "ENABLED"}),
        (
            {"subnets": ["subnet-r"], "security_groups": ["sg-r"], "assign_public_ip": False},
            {"subnets": ["subnet-r"], "securityGroups": ["sg-r"], "assignPublicIp": "DISABLED"},
        ),
        (
            {"security_groups": ["sg-r"]},
            {"subnets": ["subnet-s"], "securityGroups": ["sg-r"], "assignPublicIp": "ENABLED"},
        ),
    ],
)
def test_the_network_is_the_requests_over_the_settings(request_: dict[str, Any], expected: dict[str, Any]) -> None:
    ecs = {"subnets": ("subnet-s",), "security_groups": ("sg-s",), "assign_public_ip": True}
    assert network(request_, **ecs) == expected


def test_without_groups_the_vpcs_own_is_left_to_apply() -> None:
    assert "securityGroups" not in network()


def test_without_subnets_there_is_no_network() -> None:
    assert placed(subnets=()).network is None


@pytest.mark.parametrize(
    ("request_", "pool"),
    [
        ({}, "us-east-1/dagy|FARGATE"),
        ({"cluster": ARN}, "eu-west-1/nightly|FARGATE"),
        ({"launch_type": "EC2"}, "us-east-1/dagy|EC2"),
        (
            {"capacity_provider_strategy": [*SPOT, {"capacityProvider": "FARGATE", "weight": 1}]},
            "us-east-1/dagy|FARGATE+FARGATE_SPOT",
        ),
    ],
)
def test_a_pool_is_what_shares_a_quota(request_: dict[str, Any], pool: str) -> None:
    assert placed(request_).pool == pool


def test_a_cluster_by_name_and_by_arn_is_one_pool() -> None:
    by_name = placed({"cluster": "nightly", "region": "eu-west-1"})
    assert by_name.pool == placed({"cluster": ARN}).pool
