"""Where the ARNs of registered task definitions are remembered between processes: in the ledger, or nowhere.

``launching/task_definitions.py`` uses it. RegisterTaskDefinition allows one call a second, so a lock lets one process
register while the others wait for its answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, cast

from redis.exceptions import LockError
from redis.lock import Lock

from dagy_queue.ledger import RedisConnection

LOCK_SECONDS = 5.0
"""How long the holder of the lock may take. One that died is waited for no longer: a revision too many does no harm."""

_REMEMBERED_SECONDS = 7 * 86_400


class DefinitionCache(Protocol):
    """Remembers ARNs by the hash of what was registered."""

    def get(self, digest: str) -> str | None:
        """Return the ARN; None if it is not known."""

    def set(self, digest: str, arn: str) -> None:
        """Remember an ARN."""

    def delete(self, digest: str) -> None:
        """Forget an ARN."""

    def registering(self, digest: str) -> AbstractContextManager[None]:
        """Let one process at a time register."""


class LedgerCache:
    """Remembers in Redis, for all dispatchers. Methods raise RedisUnavailable."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    def get(self, digest: str) -> str | None:
        """Return the ARN; None if it is not known."""
        with self._redis.errors():
            return cast("str | None", self._redis.client.get(self._key(digest)))

    def set(self, digest: str, arn: str) -> None:
        """Remember an ARN."""
        with self._redis.errors():
            self._redis.client.set(self._key(digest), arn, ex=_REMEMBERED_SECONDS)

    def delete(self, digest: str) -> None:
        """Forget an ARN."""
        with self._redis.errors():
            self._redis.client.delete(self._key(digest))

    @contextlib.contextmanager
    def registering(self, digest: str) -> Iterator[None]:
        """Hold the lock of a digest, or go on without it when its holder takes too long."""
        lock = Lock(self._redis.client, self._key(digest, "lock"), timeout=LOCK_SECONDS)
        with self._redis.errors():
            locked = lock.acquire(blocking_timeout=LOCK_SECONDS)
        try:
            yield
        finally:
            if locked:
                with self._redis.errors(), contextlib.suppress(LockError):
                    lock.release()

    def _key(self, digest: str, *parts: str) -> str:
        return self._redis.key("taskdef", digest, *parts)


class NoCache:
    """Remembers nothing: the direct mode asks ECS once in each process."""

    def get(self, digest: str) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Return None."""
        return None

    def set(self, digest: str, arn: str) -> None:
        """Remember nothing."""

    def delete(self, digest: str) -> None:
        """Have nothing to forget."""

    def registering(self, digest: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Let anybody register."""
        return contextlib.nullcontext()
