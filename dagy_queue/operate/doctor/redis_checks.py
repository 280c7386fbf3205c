"""Redis: whether it answers, its version, what it drops when it is full, what a restart loses, and its clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from dagy_queue.dispatch.redis_findings import redis_finding, redis_findings
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.errors import without_password
from dagy_queue.operate.doctor.checks import Check, of_finding, ok, warning
from dagy_queue.settings import RedisSettings

REDIS = "redis"
_TIMEOUT = 3.0
_FULL = 0.8
_LONGEST_SKEW = 2.0
"""Seconds that Redis's clock and ours may differ: deadlines and delays are Redis's, times in messages are ours."""


def redis_checks(config: RedisSettings) -> Iterator[Check]:
    """Look at the broker's Redis, and at the results' where that is another one."""
    quick = min(_TIMEOUT, config.socket_timeout)
    for url in dict.fromkeys(filter(None, (config.url, config.result_url))):
        connection = RedisConnection(config.model_copy(update={"url": url, "socket_timeout": quick}))
        try:
            with connection.errors():
                about: Any = connection.client.info()
                seconds, micros = connection.client.time()
            yield from _judged(url, about)
            yield skew_check("clock of Redis", float(seconds) + float(micros) / 1e6 - time.time())
        except RedisUnavailable as exc:
            yield of_finding(REDIS, redis_finding(url, exc))
        finally:
            connection.close()


def skew_check(name: str, seconds: float, most: float = _LONGEST_SKEW) -> Check:
    """Return what it means that a clock is so many seconds before ours."""
    if abs(seconds) <= most:
        return ok(name, f"differs from this machine's by {abs(seconds):.1f} s")
    return warning(
        name,
        f"is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine's",
        "have both kept by NTP: AWS refuses requests five minutes off, and deadlines and ages are wrong before that",
    )


def _judged(url: str, about: Mapping[str, Any]) -> Iterator[Check]:
    found = list(redis_findings(url, about))
    yield from (of_finding(REDIS, each) for each in found)
    used, limit = int(about.get("used_memory") or 0), int(about.get("maxmemory") or 0)
    if limit and used > _FULL * limit:
        yield warning(
            REDIS,
            f"Redis at {without_password(url)} uses {_mb(used)} of its {_mb(limit)}: when it is full, launches fail",
            "give it more memory, or lower DAGY_QUEUE__REDIS__FAILED_TTL and DAGY_QUEUE__REDIS__RESULT_EXPIRES",
        )
    if not found:
        yield ok(REDIS, f"{_described(about)} at {without_password(url)}")


def _described(about: Mapping[str, Any]) -> str:
    used, limit = int(about.get("used_memory") or 0), int(about.get("maxmemory") or 0)
    name = "Valkey" if about.get("server_name") == "valkey" else "Redis"
    version = about.get("valkey_version") or about.get("redis_version", "")
    memory = f"{_mb(used)} of {_mb(limit)} used" if limit else f"{_mb(used)} used"
    return f"{name} {version}, {about.get('maxmemory_policy') or 'noeviction'}, append-only file, {memory},"


def _mb(count: int) -> str:
    return f"{count / 1024 / 1024:,.0f} MiB"
