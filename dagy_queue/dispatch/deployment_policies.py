"""The retry policies of deployments, for the second pass: of runs that name one and ended badly, and of no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from dagy_queue.aws.refusals import is_about_credentials
from dagy_queue.errors import AwsRefused, RequestInvalid
from dagy_queue.launching.remembered import Remembered
from dagy_queue.records.deployments import Deployment, find_deployment
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.retry_policy import over_policy

log = structlog.get_logger(__name__)


class DeploymentPolicies:
    """Lays deployments' retry fields under requests; what a deployment says is remembered for some seconds."""

    def __init__(
        self,
        ttl: float,
        find: Callable[[str, str, str], Deployment | None] = find_deployment,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl = ttl
        self._find = find
        self._known: Remembered[tuple[str, str, str], Mapping[str, Any]] = Remembered(clock)

    def under(self, request: LaunchRequest | ContainerRequest) -> LaunchRequest | ContainerRequest:
        """Return a request with the retry fields that its deployment has and it does not give.

        A deployment that is gone, or that does not go together with the request any more, has none. Raises AwsError if
        it cannot be read for now.
        """
        if not request.deployment_name:
            return request
        key = (request.org_id, request.deployment_name, request.environment)
        try:
            return over_policy(request, self._known.get(key, lambda: self._read(*key), self._ttl))
        except (AwsRefused, RequestInvalid) as exc:
            if is_about_credentials(exc):
                raise
            log.warning("deployment_policy_not_used", deployment=request.deployment_name, error=str(exc))
            return request

    def _read(self, org_id: str, name: str, environment: str) -> Mapping[str, Any]:
        found = self._find(org_id, name, environment)
        return found.defaults if found else {}
