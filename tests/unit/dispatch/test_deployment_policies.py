from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.dispatch.deployment_policies import DeploymentPolicies
from dagy_queue.errors import AwsError, AwsRefused, AwsUnavailable
from dagy_queue.records.deployments import Deployment
from dagy_queue.requests import ContainerRequest


class Registry:
    """Deployments of one org, and how often they were asked for."""

    def __init__(self, **defaults: Any) -> None:
        self.defaults = defaults
        self.asked: list[tuple[str, str, str]] = []
        self.error: AwsError | None = None

    def find(self, org_id: str, name: str, environment: str) -> Deployment | None:
        self.asked.append((org_id, name, environment))
        if self.error:
            raise self.error
        if name == "gone":
            return None
        return Deployment(name=name, environment=environment, package_slugs=(), defaults=self.defaults)


def job(**fields: Any) -> ContainerRequest:
    return ContainerRequest(**{"org_id": "acme", "image": "job", "deployment_name": "prod", **fields})


def test_a_deployments_policy_is_read_once_in_a_while() -> None:
    now = [0.0]
    registry = Registry(max_retries=2)
    policies = DeploymentPolicies(10, registry.find, lambda: now[0])
    assert [policies.under(job()).max_retries for _ in range(3)] == [2, 2, 2]
    registry.defaults = {"max_retries": 5}
    now[0] = 11.0
    assert policies.under(job()).max_retries == 5
    assert registry.asked == [("acme", "prod", "")] * 2


def test_a_run_without_a_deployment_asks_nobody() -> None:
    registry = Registry(max_retries=2)
    request = job(deployment_name="")
    assert DeploymentPolicies(10, registry.find).under(request) is request
    assert registry.asked == []


@pytest.mark.parametrize("how", ["gone", "refused", "contradicts"])
def test_a_policy_that_cannot_be_used_is_left_out(how: str) -> None:
    registry = Registry(skip_on_exit_code=75)
    if how == "refused":
        registry.error = AwsRefused("not allowed", code="AccessDeniedException")
    request = job(deployment_name="gone" if how == "gone" else "prod", retry_on_exit_codes=75)
    assert DeploymentPolicies(10, registry.find).under(request) == request


@pytest.mark.parametrize("error", [AwsUnavailable("no answer"), AwsRefused("too old", code="ExpiredTokenException")])
def test_a_registry_out_of_reach_is_told(error: AwsError) -> None:
    registry = Registry(max_retries=2)
    registry.error = error
    policies = DeploymentPolicies(10, registry.find)
    with pytest.raises(type(error)):
        policies.under(job())
    registry.error = None
    assert policies.under(job()).max_retries == 2
