"""Sentinel: its URLs (the addresses of all sentinels, and what the first says of Redis itself), and asking it.

``ledger/redis_urls.py`` makes clients of them and has Celery's options from here. The parameter ``tls`` says who takes
TLS: ``all``, the ``sentinels`` or ``redis``; the ``ssl_`` parameters are those of ``rediss://``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from dagy_queue.settings import RedisSettings

SCHEME = "sentinel://"
_PORT = 26379
_ALL, _SENTINELS, _REDIS = "all", "sentinels", "redis"
_CERT_REQS, _CHECK_HOSTNAME = "ssl_cert_reqs", "ssl_check_hostname"


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """A sentinel URL, read."""

    addresses: tuple[tuple[str, int], ...]
    database: int
    username: str
    password: str
    tls_of_redis: Mapping[str, Any]
    """redis-py's arguments of a connection with TLS to Redis; {} for one without."""
    tls_of_sentinels: Mapping[str, Any]
    """The same of a connection to a sentinel."""

    @classmethod
    def read(cls, url: str) -> SentinelUrl:
        """Read a URL that :class:`RedisSettings` has let pass."""
        parts = [urlsplit(each.strip()) for each in url.split(";") if each.strip()]
        first = parts[0]
        query = dict(parse_qsl(first.query))
        who, tls = query.pop("tls", ""), _tls(query)
        return cls(
            addresses=tuple((each.hostname or "", each.port or _PORT) for each in parts),
            database=int(first.path.strip("/") or 0),
            username=unquote(first.username or ""),
            password=unquote(first.password or ""),
            tls_of_redis=tls if who in (_ALL, _REDIS) else {},
            tls_of_sentinels=tls if who in (_ALL, _SENTINELS) else {},
        )


class Sentinels(Sentinel):
    """redis-py's sentinels, who say in a few words why none of them names a master."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the address of the master. Raises MasterNotFoundError."""
        reasons: list[str] = []
        for number, sentinel in enumerate(self.sentinels):
            try:
                masters: Any = sentinel.sentinel_masters()
            except RedisError as exc:
                reasons.append(f"{_address(sentinel)}: {exc}")
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):  # type: ignore[no-untyped-call]
                # The one that answers is asked first from here on.
                self.sentinels[0], self.sentinels[number] = sentinel, self.sentinels[0]
                return state["ip"], state["port"]
            reasons.append(f"{_address(sentinel)}: {'the master is down' if state else 'it watches no such master'}")
        raise MasterNotFoundError(f"no sentinel names a master {service_name!r}: {'; '.join(reasons)}")


def without_parameters(url: str) -> str:
    """Return a sentinel URL as Celery and kombu take it: TLS is an option of theirs."""
    return ";".join(_bare(urlsplit(each.strip())) for each in url.split(";") if each.strip())


def sentinel_kwargs(settings: RedisSettings, url: SentinelUrl) -> dict[str, Any]:
    """Return redis-py's arguments of a connection to a sentinel.

    A sentinel that hangs must not be waited for without end, nor one that fails be asked again: the next one is.
    """
    credentials = {
        "username": settings.sentinel_username or None,
        "password": settings.sentinel_password.get_secret_value() or None,
    }
    return {
        "socket_timeout": settings.socket_timeout,
        "socket_connect_timeout": settings.socket_timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        **({"ssl": True, **url.tls_of_sentinels} if url.tls_of_sentinels else {}),
        **{name: value for name, value in credentials.items() if value},
    }


def _tls(query: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {name: value for name, value in query.items() if name.startswith("ssl_")}
    found[_CERT_REQS] = found.get(_CERT_REQS, "required").lower().removeprefix("cert_")
    if _CHECK_HOSTNAME in found:
        found[_CHECK_HOSTNAME] = found[_CHECK_HOSTNAME].lower() in ("true", "1", "yes")
    return found


def _address(sentinel: Redis) -> str:
    return "{host}:{port}".format_map(sentinel.connection_pool.connection_kwargs)


def _bare(parts: SplitResult) -> str:
    return parts._replace(query="").geturl()
