"""One URL for all who talk to Redis: redis-py for the ledger, kombu for the broker, Celery for the results.

They read the same URLs differently. ``ledger/connection.py`` makes its clients here, and ``messaging/app.py`` has
Celery's URLs and options from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import redis
from redis.sentinel import Sentinel

from dagy_queue.settings import RedisSettings

_SENTINEL = "sentinel://"
_SENTINEL_PORT = 26379
_OF_TCP = frozenset({"socket_connect_timeout", "socket_keepalive"})
_CERT_REQS = "ssl_cert_reqs"


def make_client(settings: RedisSettings, **options: Any) -> redis.Redis:
    """Return a client for the Redis of the settings; nothing is opened yet."""
    if settings.url.startswith(_SENTINEL):
        return _sentinel_client(settings, options)
    if settings.url.startswith("unix://"):  # such a connection knows nothing of TCP
        options = {name: value for name, value in options.items() if name not in _OF_TCP}
    client: redis.Redis = redis.Redis.from_url(normal_url(settings.url), **options)
    return client


def celery_url(url: str) -> str:
    """Return the URL as Celery and kombu take it, for broker and results."""
    if url.startswith("unix://"):
        parts = urlsplit(url)
        query = [("virtual_host" if name == "db" else name, value) for name, value in parse_qsl(parts.query)]
        return f"redis+socket://{parts.path}" + (f"?{urlencode(query)}" if query else "")
    return normal_url(url)


def sentinel_options(settings: RedisSettings) -> Mapping[str, Any]:
    """Return the transport options of Celery that Sentinel needs; none without it."""
    if not any(url.startswith(_SENTINEL) for url in (settings.url, settings.result_url)):
        return {}
    return {"master_name": settings.sentinel_master, "sentinel_kwargs": _sentinel_kwargs(settings)}


def normal_url(url: str) -> str:
    """Return a URL that redis-py, kombu and Celery read alike.

    Of ``rediss://``, Celery demands ``ssl_cert_reqs`` and redis-py knows only its short words.
    """
    if not url.startswith("rediss://"):
        return url
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    query[_CERT_REQS] = query.get(_CERT_REQS, "required").lower().removeprefix("cert_")
    return urlunsplit(parts._replace(query=urlencode(query, safe="/")))


def _sentinel_client(settings: RedisSettings, options: Mapping[str, Any]) -> redis.Redis:
    """The user and password of the first address are those of Redis itself, as kombu and Celery have it."""
    addresses = [urlsplit(each.strip()) for each in settings.url.split(";") if each.strip()]
    first = addresses[0]
    own = {
        "db": int(first.path.strip("/") or 0),
        "username": unquote(first.username) if first.username else None,
        "password": unquote(first.password) if first.password else None,
    }
    watchers: Any = Sentinel(  # type: ignore[no-untyped-call]
        [(each.hostname, each.port or _SENTINEL_PORT) for each in addresses],
        sentinel_kwargs=_sentinel_kwargs(settings),
    )
    client: redis.Redis = watchers.master_for(settings.sentinel_master, **own, **options)
    return client


def _sentinel_kwargs(settings: RedisSettings) -> dict[str, Any]:
    """A sentinel that hangs must not be waited for without end: the next one is asked."""
    return {"socket_timeout": settings.socket_timeout, "socket_connect_timeout": settings.socket_timeout}
