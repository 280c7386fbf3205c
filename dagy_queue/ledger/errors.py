"""The one place where errors of redis-py and kombu become ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from dagy_queue.errors import LedgerError, RedisUnavailable

_SECRETS = re.compile(r"(?<=//)(?:(?!;\s*\w+://)[^/])*@|(?<=[?&])(?:username|password)=[^&;]*&?")
"""User and password before a host (a sentinel URL has several), or among the parameters. A password may have a ;."""
_IN_A_PIPELINE = " of pipeline caused error: "
_OF_A_SCRIPT = re.compile(r"user_script|Error (?:running|compiling) script")
_BEFORE_THE_REASON = re.compile(r"Error running script \(call to \w+\): (?:@?user_script: ?\d+: )*(?:-|ERR )?")
"""What Redis 6 puts before the reason why a script failed, also of what tells of its state; later ones append it."""
_STATE_OF_REDIS = re.compile(
    r"[A-Z]{3,} |ACL failure in script|The user executing the script can't|Script killed by user"
)
"""How answers begin that tell of Redis or its settings, whatever asked: OOM, READONLY, MISCONF, NOREPLICAS, BUSY ..."""


def without_password(url: str) -> str:
    """Return a Redis URL that may be shown: without user name and password."""
    return _SECRETS.sub("", url)


@contextmanager
def mapped(url: str) -> Iterator[None]:
    """Run Redis operations; their failures come out as RedisUnavailable, or LedgerError if they would fail again."""
    shown = without_password(url)
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OperationalError) as exc:
        raise RedisUnavailable(
            f"Redis at {shown} cannot be reached ({exc}); is it running, and is DAGY_REDIS_URL right? "
            "On a laptop, `dagy-queue up` starts one, and `source .dagy/env` leads to it"
        ) from exc
    except RedisError as exc:
        if is_lasting(exc):
            raise LedgerError(
                f"the ledger at {shown} failed on this, and would again: {exc}; unless another program has written "
                "keys of the same prefix, this is a defect of dagy_queue: please report it"
            ) from exc
        raise RedisUnavailable(f"Redis at {shown} refused the operation: {exc}") from exc


def is_lasting(error: RedisError) -> bool:
    """Tell whether a script or command failed on what it was given, or found, and would fail the same way again.

    Only what is certain counts: anything else may be the state of Redis, and passes.
    """
    if type(error) is not ResponseError:  # redis-py has classes for most states
        return False
    text = str(error).rpartition(_IN_A_PIPELINE)[2]
    reason = _BEFORE_THE_REASON.sub("", text, count=1)
    if reason.startswith("WRONGTYPE "):
        return True
    return bool(_OF_A_SCRIPT.search(text)) and not _STATE_OF_REDIS.match(reason)
