"""Where a request's task runs: its own fields over the settings, and ``run_task_kwargs`` over both; pure.

The planner builds RunTask's parameters from it; dispatchers name the pool that a run waits in by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.capacity import may_be_on_fargate
from dagy_queue.requests.overrides import merge_run_task_kwargs
from dagy_queue.settings import EcsSettings, Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where a task runs, on what, and in which network."""

    cluster: str
    region: str
    launch_type: str
    """FARGATE or EC2; '' where a strategy decides."""
    strategy: tuple[Mapping[str, Any], ...]
    """Capacity providers, in the form of ECS's API."""
    platform_version: str
    network: Mapping[str, Any] | None
    """awsvpcConfiguration, for task definitions of that network mode; None if no subnets are known."""
    kwargs: Mapping[str, Any]
    """The settings' and the request's run_task_kwargs, merged."""

    @property
    def on_fargate(self) -> bool:
        """Whether Fargate runs the task, as far as the request tells."""
        return may_be_on_fargate(self.launch_type, self.strategy)

    @property
    def pool(self) -> str:
        """What shares a quota: region, cluster and capacity type."""
        providers = sorted({str(item.get("capacityProvider", "")) for item in self.strategy})
        return f"{self.region}/{self.cluster.rpartition('/')[2]}|{'+'.join(providers) or self.launch_type}"


def placement_of(request: LaunchRequest | ContainerRequest, settings: Settings) -> Placement:
    """Return where the task of a request runs."""
    ecs = settings.ecs
    kwargs = merge_run_task_kwargs(ecs.run_task_kwargs, request.run_task_kwargs)
    launch_type, strategy = _capacity(request, ecs, kwargs)
    cluster = str(kwargs.get("cluster") or request.cluster or ecs.cluster)
    return Placement(
        cluster=cluster,
        region=request.region or _region_of(cluster) or settings.aws.region,
        launch_type=launch_type,
        strategy=strategy,
        platform_version=request.platform_version or ecs.platform_version,
        network=_network(request, ecs),
        kwargs=kwargs,
    )


def _capacity(
    request: LaunchRequest | ContainerRequest, ecs: EcsSettings, kwargs: Mapping[str, Any]
) -> tuple[str, tuple[Mapping[str, Any], ...]]:
    if strategy := kwargs.get("capacityProviderStrategy"):
        return "", tuple(strategy)
    if launch_type := kwargs.get("launchType"):
        return str(launch_type), ()
    if request.capacity_provider_strategy:
        return "", tuple(item.model_dump(by_alias=True) for item in request.capacity_provider_strategy)
    if request.launch_type:
        return request.launch_type, ()
    if ecs.capacity_provider_strategy:
        return "", tuple(item.model_dump(by_alias=True) for item in ecs.capacity_provider_strategy)
    return ecs.launch_type, ()


def _network(request: LaunchRequest | ContainerRequest, ecs: EcsSettings) -> dict[str, Any] | None:
    subnets = request.subnets or ecs.subnets
    if not subnets:
        return None
    public = ecs.assign_public_ip if request.assign_public_ip is None else request.assign_public_ip
    network = {"subnets": list(subnets), "assignPublicIp": "ENABLED" if public else "DISABLED"}
    groups = request.security_groups or ecs.security_groups
    return network | ({"securityGroups": list(groups)} if groups else {})


def _region_of(cluster: str) -> str:
    parts = cluster.split(":")
    return parts[3] if parts[0] == "arn" and len(parts) > 3 else ""
