"""Settings of the queue: the Redis that holds broker, results and ledger, and what Celery shares with applications."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, SecretStr, field_validator

from dagy_queue.requests.durations import Seconds, WholeSeconds
from dagy_queue.requests.refusals import allowed
from dagy_queue.settings.fields import Section

_SENTINEL_PARAMETERS = frozenset(
    {"tls", "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
_REDIS_URL = r"^(rediss?|unix|sentinel)://."


class RedisSettings(Section):
    """The broker, the result backend and the ledger: one Redis, one database."""

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        pattern=_REDIS_URL,
        description="redis://, rediss:// or unix:// URL with a database number; with Sentinel, "
        "sentinel:// and the addresses of all sentinels, with a semicolon between two",
    )
    result_url: str = Field("", pattern=f"^$|{_REDIS_URL}", description="result backend; empty: the same as url")
    sentinel_master: str = Field("mymaster", description="name of the master that the sentinels watch")
    sentinel_username: str = Field("", description="user of the sentinels themselves; empty: the default one")
    sentinel_password: SecretStr = Field(
        SecretStr(""), description="password of the sentinels themselves; empty: they have none"
    )
    prefix: str = Field("dagy", description="first part of every ledger key")
    finished_ttl: WholeSeconds = Field(
        4 * 3600,
        gt=0,
        description="seconds a run that succeeded stays in the ledger; at least twice dispatch.visibility_timeout",
    )
    failed_ttl: WholeSeconds = Field(
        7 * 86400,
        gt=0,
        description="seconds a run that failed or was cancelled stays in the ledger, to be explained and tried again, "
        "and so does every batch; finished_ttl counts where that is longer",
    )
    result_expires: WholeSeconds = Field(
        7 * 86400, gt=0, description="seconds a Celery result and a chord's counters stay"
    )
    socket_timeout: Seconds = Field(10.0, gt=0, description="seconds before a Redis call counts as failed")

    @property
    def longest_ttl(self) -> int:
        """Seconds for which the ledger keeps what ended, other than runs that succeeded."""
        return max(self.finished_ttl, self.failed_ttl)

    @field_validator("url", "result_url")
    @classmethod
    def _check_address(cls, value: str) -> str:
        for each in value.split(";") if value.startswith("sentinel://") else [value]:
            if not _is_readable(each.strip()):
                raise allowed(
                    "a URL with a number as port, and one as database; / ? # @ in a password as %2F %3F %23 %40"
                )
        return value

    @field_validator("url", "result_url")
    @classmethod
    def _check_sentinel(cls, value: str) -> str:
        if not value.startswith("sentinel://"):
            return value
        first, *others = [dict(parse_qsl(urlsplit(each.strip()).query)) for each in value.split(";")]
        if any(others):
            raise allowed("parameters at the first address alone: they hold for all")
        if unknown := sorted(first.keys() - _SENTINEL_PARAMETERS):
            raise allowed(f"of parameters {', '.join(sorted(_SENTINEL_PARAMETERS))}; not {', '.join(unknown)}")
        if first.get("tls", "all") not in ("all", "sentinels", "redis"):
            raise allowed("as tls one of all, sentinels or redis: who takes TLS")
        if first and "tls" not in first:
            raise allowed("tls=all, tls=sentinels or tls=redis beside the other parameters")
        return value


def _is_readable(url: str) -> bool:
    """Tell whether redis-py, kombu and Celery can read the port and the database of a URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    database = dict(parse_qsl(parts.query)).get("db") or ("" if parts.scheme == "unix" else parts.path.strip("/"))
    return not database or database.isdecimal()


class CelerySettings(Section):
    """What the dispatcher's Celery app shares with the application's."""

    default_queue: str = Field(
        "celery", description="queue of an application's tasks (links, callbacks) whose queue is not known otherwise"
    )
