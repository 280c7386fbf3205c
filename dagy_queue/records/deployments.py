"""Deployments and their dependency packages, as launches ask for them. All reads are by org."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagy_queue.errors import DeploymentNotFound, PackageNotFound
from dagy_queue.records.base import dynamodb
from dagy_queue.records.deployment_model import SHARED, DeploymentModel, deployment_key, split_slug
from dagy_queue.records.package_model import DepPackageModel, package_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What runs of a deployment get: packages, by slug or ``slug@version``, and defaults of request fields."""

    name: str
    environment: str
    package_slugs: tuple[str, ...]
    defaults: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepPackage:
    """One version of a dependency package. Without ``sha256`` it is not checked."""

    slug: str
    version: str
    uri: str
    sha256: str


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


def choose(deployments: Sequence[Deployment], environment: str) -> Deployment | None:
    """Return the one of several deployments of the same name and owner that fits a run's environment."""
    by_environment = {deployment.environment: deployment for deployment in deployments}
    found = by_environment.get(environment) or by_environment.get("")
    if found is None and not environment and len(deployments) == 1:
        return deployments[0]
    return found


def find_packages(org_id: str, slugs: Iterable[str]) -> list[DepPackage]:
    """Return an org's packages in the order of their slugs; ``slug@version`` pins a version, else it is the latest.

    Raises RequestInvalid for what is no slug, PackageNotFound naming every package that is missing, or an AwsError.
    """
    keys = [(package_key(org_id, slug), version) for slug, version in map(split_slug, slugs)]
    with dynamodb("dynamodb:BatchGetItem"):
        found = {(p.package_id, p.version): p for p in DepPackageModel.batch_get(keys, consistent_read=True)}
    if missing := [key for key in keys if key not in found]:
        names = ", ".join(f"{key.partition('#')[2]!r} ({version})" for key, version in dict.fromkeys(missing))
        raise PackageNotFound(
            f"no dependency package {names} is registered for org {org_id!r}; register it with DepPackageModel("
            f"slug=..., version=..., package_s3_uri=..., org_id={org_id!r}).save()"
        )
    return [_package(found[key]) for key in keys]


def _named(owner: str, name: str) -> list[Deployment]:
    with dynamodb("dynamodb:Query"):
        items = DeploymentModel.query(
            owner, DeploymentModel.deployment_id.startswith(deployment_key(name, "")), consistent_read=True
        )
        return [
            Deployment(
                name=item.deployment_name,
                environment=item.environment,
                package_slugs=tuple(item.dep_package_slugs),
                defaults=item.defaults,
            )
            for item in items
        ]


def _not_found(org_id: str, name: str, environment: str) -> str:
    known = sorted({d.environment for owner in (org_id, SHARED) for d in _named(owner, name)})
    text = f"deployment {name!r} is not registered for org {org_id!r}"
    if known and environment:
        return f"{text} in environment {environment!r}, only in {', '.join(known)}; register it there as well"
    if known:
        return f"{text} without an environment; set the request's environment to one of {', '.join(known)}"
    return f"{text}; register it with DeploymentModel(deployment_name={name!r}, dep_package_slugs=[...]).save()"


def _package(item: DepPackageModel) -> DepPackage:
    return DepPackage(
        slug=item.slug, version=item.resolves_to or item.version, uri=item.package_s3_uri, sha256=item.sha256
    )
