"""Deployments, as launches ask for them, and lists of them. All reads are by org."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagy_queue.errors import DeploymentNotFound
from dagy_queue.records.attributes import check, name_problems
from dagy_queue.records.base import dynamodb
from dagy_queue.records.deployment_model import SHARED, DeploymentModel, deployment_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What runs of a deployment get: packages, by slug or ``slug@version``, and defaults of request fields."""

    name: str
    environment: str
    package_slugs: tuple[str, ...]
    defaults: Mapping[str, Any]
    is_shared: bool = field(default=False, compare=False)
    """Whether it is all orgs', not one org's own."""


def find_deployment(org_id: str, name: str, environment: str = "") -> Deployment | None:
    """Return the deployment of a run; None if there is none. Raises an AwsError.

    The org's own deployment wins over one that all orgs share. A run with an environment gets the deployment of that
    environment, else the one without any; a run without gets the one without any, else the only one there is.
    """
    for owner in (org_id, SHARED):
        if found := choose(_named(owner, name), environment):
            return found
    return None


def get_deployment(org_id: str, name: str, environment: str = "") -> Deployment:
    """Return the deployment of a run. Raises DeploymentNotFound, or an AwsError."""
    found = find_deployment(org_id, name, environment)
    if found is None:
        raise DeploymentNotFound(_not_found(org_id, name, environment))
    return found


def is_registered(org_id: str, name: str) -> bool:
    """Tell whether an org's runs can have a deployment of this name, in any environment. Raises an AwsError."""
    return any(_named(owner, name) for owner in (org_id, SHARED))


def choose(deployments: Sequence[Deployment], environment: str) -> Deployment | None:
    """Return the one of several deployments of the same name and owner that fits a run's environment."""
    by_environment = {deployment.environment: deployment for deployment in deployments}
    found = by_environment.get(environment) or by_environment.get("")
    if found is None and not environment and len(deployments) == 1:
        return deployments[0]
    return found


def deployments_of_org(org_id: str) -> list[Deployment]:
    """Return the deployments that an org's runs can have: its own, then those that all orgs share."""
    check("deployment", name_problems(org_id=org_id))
    with dynamodb("dynamodb:Query"):
        return [
            deployment_of(item)
            for owner in (org_id, SHARED)
            for item in DeploymentModel.query(owner, consistent_read=True)
        ]


def _named(owner: str, name: str) -> list[Deployment]:
    with dynamodb("dynamodb:Query"):
        items = DeploymentModel.query(
            owner, DeploymentModel.deployment_id.startswith(deployment_key(name, "")), consistent_read=True
        )
        return [deployment_of(item) for item in items]


def _not_found(org_id: str, name: str, environment: str) -> str:
    known = sorted({d.environment for owner in (org_id, SHARED) for d in _named(owner, name)})
    text = f"deployment {name!r} is not registered for org {org_id!r}"
    if known and environment:
        return f"{text} in environment {environment!r}, only in {', '.join(known)}; register it there as well"
    if known:
        return f"{text} without an environment; set the request's environment to one of {', '.join(known)}"
    return f"{text}; register it with `dagy-queue deployment set {name} --org {org_id}`, or as a DeploymentModel"


def deployment_of(item: DeploymentModel) -> Deployment:
    """Return a deployment as a plain value."""
    return Deployment(
        name=item.deployment_name,
        environment=item.environment,
        package_slugs=tuple(item.dep_package_slugs),
        defaults=item.defaults,
        is_shared=item.owner == SHARED,
    )
