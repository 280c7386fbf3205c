"""From a deployment's name to its dependency packages and defaults, remembered for a few seconds per process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dagy_queue.launching.remembered import Remembered
from dagy_queue.records.deployments import Deployment, get_deployment
from dagy_queue.records.packages import DepPackage, find_packages


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedDeployment:
    """A deployment's packages, in the order they are installed, and the request fields it gives."""

    package_uris: tuple[str, ...] = ()
    package_sha256s: tuple[str, ...] = ()
    """Of each package, "" where none is registered."""
    defaults: Mapping[str, Any]


NO_DEPLOYMENT = ResolvedDeployment(defaults={})


class DeploymentResolver:
    """Finds deployments of an org with their packages."""

    def __init__(
        self,
        ttl: float,
        find: Callable[[str, str, str], Deployment] = get_deployment,
        packages: Callable[[str, tuple[str, ...]], list[DepPackage]] = find_packages,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl = ttl
        self._find = find
        self._packages = packages
        self._known: Remembered[tuple[str, str, str], ResolvedDeployment] = Remembered(clock)

    def resolve(self, org_id: str, name: str, environment: str) -> ResolvedDeployment:
        """Return a deployment; without a name, one that gives nothing.

        Raises DeploymentNotFound, PackageNotFound, or an AwsError if the registry cannot be read.
        """
        if not name:
            return NO_DEPLOYMENT
        key = (org_id, name, environment)
        return self._known.get(key, lambda: self._read(*key), self._ttl)

    def _read(self, org_id: str, name: str, environment: str) -> ResolvedDeployment:
        deployment = self._find(org_id, name, environment)
        packages = self._packages(org_id, deployment.package_slugs)
        return ResolvedDeployment(
            package_uris=tuple(p.uri for p in packages),
            package_sha256s=tuple(p.sha256 for p in packages),
            defaults=deployment.defaults,
        )
