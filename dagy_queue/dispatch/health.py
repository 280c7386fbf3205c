"""The health check of a dispatcher that starts: Redis, AWS, the cluster and the settings that launches need.

``run_dispatcher`` calls :func:`require_health`. What may pass is looked at again for a while; what is wrong for
certain is told at once, all of it in one message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import structlog
from pydantic_core import PydanticCustomError

from dagy_queue.aws.errors import mapped
from dagy_queue.dispatch.findings import (
    Finding,
    Level,
    aws_finding,
    cluster_findings,
    settings_findings,
)
from dagy_queue.dispatch.redis_findings import redis_finding, redis_findings
from dagy_queue.errors import AwsError, HealthCheckFailed, RedisUnavailable, RequestInvalid
from dagy_queue.ledger import RedisConnection
from dagy_queue.requests.definitions import check_template, read_template
from dagy_queue.settings import Settings

PATIENCE = 30.0
"""Seconds for which what cannot be reached is tried again."""
PAUSE = 2.0
_REDIS_TIMEOUT = 3.0

log = structlog.get_logger(__name__)


class EcsClients(Protocol):
    """What the check needs of AwsClients."""

    @property
    def ecs_control(self) -> Any:
        """A client of ECS."""


def require_health(
    config: Settings,
    aws: EcsClients,
    *,
    pause: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Return when a dispatcher can work; warnings are logged. Raises HealthCheckFailed listing every problem."""
    deadline = now() + PATIENCE
    while True:
        found = look(config, aws)
        if any(finding.level is Level.ERROR for finding in found):
            raise HealthCheckFailed(_message(found))
        waiting = [finding.what for finding in found if finding.level is Level.UNREACHABLE]
        if not waiting:
            break
        if now() + PAUSE > deadline:
            raise HealthCheckFailed(_message(found))
        log.warning("health check: not yet, trying again", waiting_for=waiting, seconds_left=round(deadline - now()))
        pause(PAUSE)
    for finding in found:
        log.warning("health check", found=finding.what, resolution=finding.resolution)


def look(config: Settings, aws: EcsClients) -> list[Finding]:
    """Return everything that is not as it should be."""
    return [*settings_findings(config, template_problem(config)), *_redis(config), *_cluster(config, aws)]


def template_problem(config: Settings) -> str:
    """Return what is wrong with the task definition template of the settings; '' if it is right or there is none."""
    path = config.ecs.task_definition_template
    if not path:
        return ""
    try:
        check_template(read_template(path))
    except RequestInvalid as exc:
        return "; ".join(str(problem) for problem in exc.problems)
    except PydanticCustomError as exc:
        return f"task_definition_template = {path!r}: {exc.message()}"
    return ""


def cluster_and_region(config: Settings) -> tuple[str, str]:
    """Return the cluster that launches use if they name none, and the region it is in."""
    cluster = str(config.ecs.run_task_kwargs.get("cluster") or config.ecs.cluster)
    return cluster, cluster.split(":")[3] if cluster.count(":") >= 5 else config.aws.region


def _redis(config: Settings) -> Iterator[Finding]:
    quick = min(_REDIS_TIMEOUT, config.redis.socket_timeout)
    for url in dict.fromkeys(filter(None, (config.redis.url, config.redis.result_url))):
        connection = RedisConnection(config.redis.model_copy(update={"url": url, "socket_timeout": quick}))
        try:
            with connection.errors():
                about: Any = connection.client.info()
            yield from redis_findings(url, about)
        except RedisUnavailable as exc:
            yield redis_finding(url, exc)
        finally:
            connection.close()


def _cluster(config: Settings, aws: EcsClients) -> Iterator[Finding]:
    cluster, region = cluster_and_region(config)
    try:
        with mapped("ecs:DescribeClusters"):
            answer = aws.ecs_control.describe_clusters(clusters=[cluster])
    except AwsError as exc:
        yield aws_finding(cluster, exc)
        return
    yield from cluster_findings(cluster, region, answer, config.ecs)


def _message(found: Sequence[Finding]) -> str:
    lines = "".join(f"\n  - {finding.level}: {finding}" for finding in found)
    return (
        f"the dispatcher cannot start, its health check found:{lines}\n"
        "(DAGY_QUEUE__DISPATCH__CHECK_HEALTH_ON_STARTUP=false starts it without a check)"
    )
