"""What a dispatcher's health check concludes from what it saw; pure. ``dispatch/health.py`` does the looking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dagy_queue.aws.refusals import CREDENTIALS, DENIED
from dagy_queue.errors import AwsError, AwsRefused
from dagy_queue.settings import EcsSettings, Settings


class Level(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Launches cannot work: the dispatcher does not start."""
    UNREACHABLE = "unreachable"
    """It may pass: looked at again for a while."""
    WARNING = "warning"
    """Some launches may not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, and what to do about it."""

    level: Level
    what: str
    resolution: str

    def __str__(self) -> str:
        return f"{self.what}; {self.resolution}"


def aws_finding(cluster: str, error: AwsError) -> Finding:
    """Return what it means that DescribeClusters gave an error."""
    if error.code in CREDENTIALS:
        return Finding(
            Level.ERROR,
            f"AWS does not take our credentials ({error.__cause__ or error})",
            "give the dispatcher a role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if error.code in DENIED:
        return Finding(
            Level.WARNING,
            f"whether cluster {cluster} exists is not known: {error}",
            "allow ecs:DescribeClusters to have it checked",
        )
    if isinstance(error, AwsRefused):
        return Finding(Level.ERROR, f"cluster {cluster}: {error}", "correct DAGY_ECS_CLUSTER_ARN and AWS_REGION")
    return Finding(
        Level.UNREACHABLE,
        f"ECS cannot be reached ({error.__cause__ or error})",
        "check the network, AWS_REGION and AWS_ENDPOINT_URL",
    )


def cluster_findings(cluster: str, region: str, answer: Mapping[str, Any], ecs: EcsSettings) -> Iterator[Finding]:
    """Yield what is wrong with the cluster that DescribeClusters answered."""
    found = answer.get("clusters") or []
    status = found[0].get("status", "") if found else "MISSING"
    if status == "ACTIVE":
        yield from _provider_findings(cluster, found[0], ecs)
    elif status == "PROVISIONING":
        yield Finding(Level.UNREACHABLE, f"cluster {cluster} is still being made", "wait, and start again")
    else:
        state = "does not exist" if status == "MISSING" else f"is {status}"
        yield Finding(
            Level.ERROR,
            f"cluster {cluster} {state} in region {region}",
            "correct DAGY_ECS_CLUSTER_ARN and AWS_REGION, or create the cluster",
        )


def settings_findings(config: Settings, template_problem: str = "") -> Iterator[Finding]:
    """Yield what is wrong with the settings themselves; ``template_problem`` is what is wrong with the template."""
    ecs = config.ecs
    if template_problem:
        yield Finding(Level.ERROR, template_problem, "correct ecs.task_definition_template, or what it names")
    if ecs.task_definition and ecs.task_definition_template:
        yield Finding(
            Level.WARNING, "ecs.task_definition_template is not used: ecs.task_definition goes before it", "give one"
        )
    if not ecs.task_definition and not ecs.task_definition_template:
        yield from _own_definition_findings(ecs)
    if not config.storage.artifact_bucket:
        yield Finding(
            Level.WARNING,
            "no artifact bucket: flows, their results and large batches need it",
            "set DAGY_ARTIFACT_BUCKET",
        )


def _own_definition_findings(ecs: EcsSettings) -> Iterator[Finding]:
    """Yield what is wrong for the task definitions that we make."""
    for key, usual, most in (("cpu", ecs.cpu, ecs.max_cpu), ("memory", ecs.memory, ecs.max_memory)):
        if most is not None and usual > most:
            yield Finding(
                Level.ERROR,
                f"ecs.{key} is {usual} and ecs.max_{key} only {most}: runs that do not say their size are refused",
                f"raise ecs.max_{key}, or lower ecs.{key}",
            )
    if not ecs.subnets and "networkConfiguration" not in ecs.run_task_kwargs:
        yield Finding(Level.WARNING, "no subnets: launches that name none cannot start", "set DAGY_ECS_SUBNETS")
    if ecs.launch_type == "FARGATE" and not ecs.execution_role_arn:
        yield Finding(
            Level.WARNING,
            "no execution role: Fargate needs one to write logs and to pull from ECR",
            "set DAGY_ECS_EXECUTION_ROLE_ARN",
        )


def _provider_findings(cluster: str, found: Mapping[str, Any], ecs: EcsSettings) -> Iterator[Finding]:
    wanted = {item.capacity_provider for item in ecs.capacity_provider_strategy}
    if missing := sorted(wanted - set(found.get("capacityProviders") or ())):
        yield Finding(
            Level.WARNING,
            f"cluster {cluster} does not have the capacity providers {', '.join(missing)}",
            "add them with PutClusterCapacityProviders, or correct ecs.capacity_provider_strategy",
        )
