"""What a dispatcher's health check concludes from what Redis says of itself; pure. ``dispatch/health.py`` asks it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import AuthenticationError, ResponseError

from dagy_queue.dispatch.findings import Finding, Level
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger.errors import without_password

OLDEST = (6, 2)
"""The ledger's scripts use XTRIM MINID and kombu ZRANGE BYSCORE, both of Redis 6.2."""
_NO_EVICTION = "noeviction"


def redis_finding(url: str, error: RedisUnavailable) -> Finding:
    """Return what it means that Redis gave an error."""
    cause, shown = error.__cause__ or error, without_password(url)
    if isinstance(cause, AuthenticationError | ResponseError):
        return Finding(
            Level.ERROR, f"Redis at {shown} refuses us ({cause})", "correct the user and password in its URL"
        )
    return Finding(
        Level.UNREACHABLE,
        f"Redis at {shown} cannot be reached ({cause})",
        "start it (on a laptop: `dagy-queue up`, and `source .dagy/env`), or correct DAGY_REDIS_URL",
    )


def redis_findings(url: str, about: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with a Redis, by its answer to INFO."""
    shown = without_password(url)
    yield from _version(shown, str(about.get("redis_version", "")))
    if about.get("redis_mode") == "cluster":
        yield Finding(
            Level.ERROR,
            f"Redis at {shown} is in cluster mode, which Celery's transport does not know",
            "take one without cluster mode: one primary, with replicas if you like",
        )
    yield from _eviction(shown, str(about.get("maxmemory_policy") or _NO_EVICTION), int(about.get("maxmemory") or 0))
    if about.get("aof_enabled") == 0:
        yield Finding(
            Level.WARNING,
            f"Redis at {shown} keeps no append-only file: a restart loses runs and results",
            "set appendonly yes; where it cannot be set, as on ElastiCache, have replicas in several zones",
        )


def _version(shown: str, version: str) -> Iterator[Finding]:
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers and numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield Finding(Level.ERROR, f"Redis at {shown} is {version}", f"take Redis {oldest} or newer, or Valkey")


def _eviction(shown: str, policy: str, maxmemory: int) -> Iterator[Finding]:
    """Without a limit of memory nothing is evicted, whatever the policy."""
    if policy == _NO_EVICTION:
        return
    yield Finding(
        Level.ERROR if maxmemory else Level.WARNING,
        f"Redis at {shown} has maxmemory-policy {policy}: when it is full it drops runs or results, and says nothing",
        "set maxmemory-policy noeviction (on ElastiCache and MemoryDB in the parameter group)",
    )
