"""The product's own processes: dispatchers answer Celery, a bridge holds leases in the ledger; and what waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from celery import Celery

from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.errors import mapped
from dagy_queue.ledger.leadership import RECONCILER, RECORDER, held
from dagy_queue.messaging.names import FAN_OUT_QUEUE, LAUNCH_QUEUE
from dagy_queue.operate.doctor.checks import Check, error, ok, skipped, warning
from dagy_queue.operate.text import plural
from dagy_queue.settings import Settings

_ANSWER_SECONDS = 2.0
_LONG_QUEUE = 1000
_WORK = {RECORDER: "records", RECONCILER: "reconciles"}


def process_checks(config: Settings, app: Celery, connection: RedisConnection) -> Iterator[Check]:
    """Look for dispatchers and a bridge. Raises RedisUnavailable."""
    with mapped(config.redis.url):
        answers = app.control.inspect(timeout=_ANSWER_SECONDS).active_queues() or {}
    waiting = _waiting(connection)
    yield dispatcher_check(answers, waiting)
    yield bridge_check(config, _leases(connection))


def dispatcher_check(answers: Mapping[str, Sequence[Mapping[str, Any]]], waiting: int) -> Check:
    """Return how the dispatchers are, by the queues that Celery's workers say they listen to."""
    names = sorted(name for name, queues in answers.items() if LAUNCH_QUEUE in {queue.get("name") for queue in queues})
    queue = f"{plural(waiting, 'message')} waiting"
    if not names:
        others = f" ({plural(len(answers), 'other worker')} answered)" if answers else ""
        return error("dispatchers", f"none answers{others}, {queue}", "start one: dagy-queue dispatcher")
    what = f"{', '.join(names)}: {queue}"
    if waiting > _LONG_QUEUE:
        return warning("dispatchers", what, "start more dispatchers, or see in their logs what holds them up")
    return ok("dispatchers", what)


def bridge_check(config: Settings, leases: Sequence[str]) -> Check:
    """Return how the bridge is, by the leases that one of several holds while it lives."""
    wanted = [name for name, on in (("record", config.records.enabled), ("lead", config.reconciler.enabled)) if on]
    if not wanted:
        return skipped("bridge", "not known: it neither records nor reconciles, so that it leaves no trace in Redis")
    if not leases:
        return error(
            "bridge",
            "none holds the lease that a bridge keeps: ended containers are not noticed",
            "start one: dagy-queue bridge",
        )
    return ok("bridge", f"at work: it {' and '.join(leases)}")


def _leases(connection: RedisConnection) -> list[str]:
    return [_WORK[name] for name in held(connection, *_WORK)]


def _waiting(connection: RedisConnection) -> int:
    with connection.errors():
        return sum(int(connection.client.llen(queue)) for queue in (LAUNCH_QUEUE, FAN_OUT_QUEUE))
