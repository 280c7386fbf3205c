"""The connection to Redis and the Lua scripts, shared by all faces of the ledger in one process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from dagy_queue.ledger.errors import mapped
from dagy_queue.ledger.redis_urls import make_client
from dagy_queue.settings import RedisSettings

_LUA = files("dagy_queue.ledger") / "lua"
_COMMON = ("keys", "phases", "lanes", "messages", "throttles", "batches", "publications", "publishing", "claims")
"""What stands before every script (``lua/common``); each uses only those before it."""
_CONNECT_RETRIES = 3
LONGEST_BLOCK = 60.0
"""Seconds that a blocking command may ask for at most."""


class RedisConnection:
    """One process's way to the ledger. Every script is idempotent, so a call is repeated when a connection breaks."""

    def __init__(self, settings: RedisSettings) -> None:
        self.settings = settings
        self.prefix = settings.prefix
        self._scripts: dict[str, Any] = {}

    @cached_property
    def client(self) -> redis.Redis:
        """The client for commands that answer at once."""
        return self._connect(self.settings.socket_timeout)

    @cached_property
    def blocking_client(self) -> redis.Redis:
        """The client for blocking commands. Its timeout is above theirs, so that a silent connection is noticed."""
        return self._connect(LONGEST_BLOCK + self.settings.socket_timeout)

    def key(self, *parts: str) -> str:
        """Return a key of the ledger."""
        return ":".join((self.prefix, *parts))

    def run(self, script: str, *args: Any) -> Any:
        """Run one script. Raises RedisUnavailable."""
        with self.errors():
            return self._script(script)(keys=[self.prefix], args=args)

    def run_many(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Run several scripts in one round trip, each atomic by itself. Raises RedisUnavailable."""
        with self.errors():
            pipeline = self.client.pipeline(transaction=False)
            for script, args in calls:
                self._script(script)(keys=[self.prefix], args=args, client=pipeline)
            return list(pipeline.execute())

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Map the errors of direct use of the clients."""
        with mapped(self.settings.url):
            yield

    def close(self) -> None:
        """Close the clients that were opened."""
        for name in ("client", "blocking_client"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def _connect(self, socket_timeout: float | None) -> redis.Redis:
        return make_client(
            self.settings,
            decode_responses=True,
            encoding_errors="backslashreplace",  # words of a command line may have bytes that are no UTF-8
            socket_timeout=socket_timeout,
            socket_connect_timeout=self.settings.socket_timeout,
            socket_keepalive=True,
            health_check_interval=30,
            retry=Retry(ExponentialWithJitterBackoff(cap=1.0, base=0.05), _CONNECT_RETRIES),
            protocol=2,
        )

    def _script(self, name: str) -> Any:
        if name not in self._scripts:
            self._scripts[name] = self.client.register_script(_source(name))
        return self._scripts[name]


@cache
def _source(name: str) -> str:
    """Return the text of a script, with what it shares with the others."""
    parts = [_LUA / "common" / f"{part}.lua" for part in _COMMON] + [_LUA / f"{name}.lua"]
    return "\n".join(part.read_text() for part in parts)
