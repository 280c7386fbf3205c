"""The order in which ``dagy-queue doctor`` looks at things: what others depend on comes first."""

from __future__ import annotations

import os
from collections.abc import Iterator

from dagy_queue.aws.clients import AwsClients
from dagy_queue.errors import RedisUnavailable
from dagy_queue.operate.doctor.aws_checks import AwsDoctor
from dagy_queue.operate.doctor.canary import canary
from dagy_queue.operate.doctor.checks import Check, Mark, error, looked, skipped
from dagy_queue.operate.doctor.event_checks import EventDoctor
from dagy_queue.operate.doctor.process_checks import process_checks
from dagy_queue.operate.doctor.redis_checks import redis_checks
from dagy_queue.operate.finding import Desk
from dagy_queue.operate.loopback import names_loopback


def examine(desk: Desk) -> Iterator[Check]:
    """Yield what each look finds, as it does."""
    yield from _queue(desk)
    config = desk.settings
    doctor = AwsDoctor(config, AwsClients(config.aws, max_connections=4), is_local_endpoint())
    identity = looked("credentials", doctor.identity)
    yield from identity
    yield from doctor.settings()
    if any(check.mark is Mark.ERROR for check in identity):
        yield skipped("AWS", "nothing else of it was looked at, without credentials that it takes")
        return
    yield from looked("cluster", doctor.cluster)
    yield from doctor.roles()
    yield from looked("log group", doctor.log_group)
    yield from doctor.buckets()
    yield from looked("table", doctor.tables)
    if not desk.is_direct:
        events = EventDoctor(config.bridge, doctor.aws, doctor.cluster_arn)
        yield from looked("event queue", events.queue)
        yield from looked("dead letters", events.dead_letters)


def fly(desk: Desk, image: str, seconds: float) -> Iterator[Check]:
    """Yield how a real run does. Without a queue there is nobody to wait for it."""
    if desk.is_direct:
        yield skipped("canary", "direct mode has no results to wait for")
    else:
        yield from canary(desk, image, seconds)


def is_local_endpoint() -> bool:
    """Tell whether AWS is an endpoint on this machine."""
    return names_loopback(os.environ.get("AWS_ENDPOINT_URL", ""))


def _queue(desk: Desk) -> Iterator[Check]:
    if desk.is_direct:
        yield skipped("redis", "direct mode needs none")
        return
    found = list(redis_checks(desk.settings.redis))
    yield from found
    if any(check.name == "redis" and check.mark is Mark.ERROR for check in found):
        yield skipped("dispatchers, bridge", "not looked for, without a Redis that is as it should be")
        return
    try:
        yield from process_checks(desk.settings, desk.publisher.app, desk.publisher.redis)
    except RedisUnavailable as exc:
        yield error("redis", str(exc), "see above")
