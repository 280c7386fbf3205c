"""The one place where errors of redis-py and kombu become ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from dagy_queue.errors import RedisUnavailable

_SECRETS = re.compile(r"(?<=//)[^/;]*@|(?<=[?&])(?:username|password)=[^&;]*&?")
"""User and password before a host (a sentinel URL has several), or among the parameters."""


def without_password(url: str) -> str:
    """Return a Redis URL that may be shown: without user name and password."""
    return _SECRETS.sub("", url)


@contextmanager
def mapped(url: str) -> Iterator[None]:
    """Run Redis operations; their failures come out as RedisUnavailable."""
    shown = without_password(url)
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OperationalError) as exc:
        raise RedisUnavailable(
            f"Redis at {shown} cannot be reached ({exc}); is it running, and is DAGY_REDIS_URL right? "
            "On a laptop, `dagy-queue up` starts one, and `source .dagy/env` leads to it"
        ) from exc
    except RedisError as exc:
        raise RedisUnavailable(f"Redis at {shown} refused the operation: {exc}") from exc
