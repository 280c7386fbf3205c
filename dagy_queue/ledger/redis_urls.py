"""One URL for all who talk to Redis: redis-py for the ledger, kombu for the broker, Celery for the results.

They read the same URLs differently. ``ledger/connection.py`` makes its clients here, and ``messaging/app.py`` has
Celery's URLs and options from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis

from dagy_queue.errors import SettingsInvalid
from dagy_queue.ledger.errors import without_password
from dagy_queue.ledger.sentinels import SCHEME, Sentinels, SentinelUrl, sentinel_kwargs, without_parameters
from dagy_queue.settings import RedisSettings

_OF_TCP = frozenset({"socket_connect_timeout", "socket_keepalive"})
_CERT_REQS = "ssl_cert_reqs"


def make_client(settings: RedisSettings, **options: Any) -> redis.Redis:
    """Return a client for the Redis of the settings; nothing is opened yet. Raises SettingsInvalid."""
    if settings.url.startswith(SCHEME):
        return _sentinel_client(settings, options)
    if settings.url.startswith("unix://"):  # such a connection knows nothing of TCP
        options = {name: value for name, value in options.items() if name not in _OF_TCP}
    try:
        client: redis.Redis = redis.Redis.from_url(normal_url(settings.url), **options)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # redis-py looks at them when it first connects
    except (TypeError, ValueError) as exc:
        raise SettingsInvalid(
            f"{without_password(settings.url)} has a parameter that redis-py does not take: {exc}; correct"
            " DAGY_REDIS_URL: what stands behind the ? are options of redis-py's connections"
        ) from exc
    return client


def celery_url(url: str) -> str:
    """Return the URL as Celery and kombu take it, for broker and results."""
    if url.startswith("unix://"):
        parts = urlsplit(url)
        query = [("virtual_host" if name == "db" else name, value) for name, value in parse_qsl(parts.query)]
        return f"redis+socket://{parts.path}" + (f"?{urlencode(query)}" if query else "")
    return without_parameters(url) if url.startswith(SCHEME) else normal_url(url)


def sentinel_options(settings: RedisSettings, url: str) -> Mapping[str, Any]:
    """Return the transport options of Celery that a URL with Sentinel needs; none for another."""
    if not url.startswith(SCHEME):
        return {}
    options = sentinel_kwargs(settings, SentinelUrl.read(url))
    return {"master_name": settings.sentinel_master, "sentinel_kwargs": options}


def sentinel_tls(url: str) -> Mapping[str, Any]:
    """Return Celery's ``use_ssl`` for the Redis behind Sentinel; {} without TLS. In other URLs it stands already."""
    return SentinelUrl.read(url).tls_of_redis if url.startswith(SCHEME) else {}


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
    url = SentinelUrl.read(settings.url)
    own = {
        "db": url.database,
        "username": url.username or None,
        "password": url.password or None,
        **({"ssl": True, **url.tls_of_redis} if url.tls_of_redis else {}),
    }
    watchers: Any = Sentinels(  # type: ignore[no-untyped-call]
        url.addresses, sentinel_kwargs=sentinel_kwargs(settings, url)
    )
    client: redis.Redis = watchers.master_for(settings.sentinel_master, **own, **options)
    return client
