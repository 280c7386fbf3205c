from __future__ import annotations

from typing import Any

import pytest
from kombu import Connection
from pydantic import ValidationError
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.sentinel import MasterNotFoundError

from dagy_queue.dispatch.celery_settings import use_dispatcher_settings
from dagy_queue.errors import SettingsInvalid
from dagy_queue.ledger.redis_urls import celery_url, make_client, normal_url
from dagy_queue.messaging.app import make_app
from dagy_queue.settings import RedisSettings, load_settings

SENTINELS = "sentinel://user:p%40ss@one:26380/2;sentinel://two"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("redis://h:6379/1", "redis://h:6379/1"),
        ("rediss://h/1", "rediss://h/1?ssl_cert_reqs=required"),
        ("rediss://h/1?ssl_cert_reqs=CERT_NONE", "rediss://h/1?ssl_cert_reqs=none"),
        (
            "rediss://h/1?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=optional",
            "rediss://h/1?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=optional",
        ),
    ],
)
def test_a_tls_url_is_written_so_that_all_can_read_it(given: str, expected: str) -> None:
    assert normal_url(given) == celery_url(given) == expected


def test_ledger_broker_and_results_all_use_tls() -> None:
    config = load_settings(redis={"url": "rediss://:pw@h:7000/3?ssl_cert_reqs=CERT_NONE&ssl_check_hostname=false"})
    pool = make_client(config.redis).connection_pool
    assert issubclass(pool.connection_class, SSLConnection)
    assert (pool.connection_kwargs["db"], pool.connection_kwargs["ssl_cert_reqs"]) == (3, "none")
    app = make_app(config)
    use_dispatcher_settings(app)
    assert issubclass(app.backend.connparams["connection_class"], SSLConnection)
    assert Connection(app.conf.broker_url).ssl["ssl_cert_reqs"] == 0


def test_ledger_broker_and_results_all_use_a_socket() -> None:
    config = load_settings(redis={"url": "unix:///run/redis.sock?db=4"})
    pool = make_client(config.redis).connection_pool
    assert pool.connection_class is UnixDomainSocketConnection
    assert (pool.connection_kwargs["path"], pool.connection_kwargs["db"]) == ("/run/redis.sock", 4)
    app = make_app(config)
    use_dispatcher_settings(app)
    assert app.backend.connparams["connection_class"] is UnixDomainSocketConnection
    assert (app.backend.connparams["path"], app.backend.connparams["db"]) == ("/run/redis.sock", 4)
    assert Connection(app.conf.broker_url).transport_cls == "redis"


def test_ledger_broker_and_results_all_ask_the_sentinels() -> None:
    config = load_settings(redis={"url": SENTINELS, "sentinel_master": "queue"})
    pool = make_client(config.redis).connection_pool
    assert (pool.service_name, pool.connection_kwargs["db"]) == ("queue", 2)
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("user", "p@ss")
    asked = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
    assert [(each["host"], each["port"]) for each in asked] == [("one", 26380), ("two", 26379)]
    app = make_app(config)
    use_dispatcher_settings(app)
    assert type(app.backend).__name__ == "PatientSentinelBackend"
    assert app.conf.broker_transport_options["master_name"] == "queue"
    assert app.conf.result_backend_transport_options["master_name"] == "queue"


def asked_with(pool: Any) -> dict[str, Any]:
    """Return how a pool asks its sentinels."""
    found: dict[str, Any] = pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs
    return found


@pytest.mark.parametrize(
    ("tls", "redis", "sentinels"),
    [("all", True, True), ("redis", True, False), ("sentinels", False, True)],
)
def test_ledger_broker_and_results_use_tls_to_whom_the_url_says(tls: str, redis: bool, sentinels: bool) -> None:
    url = f"sentinel://one/0?tls={tls}&ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false;sentinel://two"
    config = load_settings(redis={"url": url})
    pool = make_client(config.redis).connection_pool
    assert issubclass(pool.connection_class, SSLConnection) is redis
    assert (asked_with(pool).get("ssl_ca_certs") == "/etc/ca.pem") is sentinels
    app = make_app(config)
    use_dispatcher_settings(app)
    assert issubclass(app.backend.connparams.get("connection_class", object), SSLConnection) is redis
    broker = app.connection_for_write()
    assert (broker.ssl or {}).get("ssl_ca_certs") == ("/etc/ca.pem" if redis else None)
    for options in (broker.transport_options, app.backend._transport_options):
        assert options["sentinel_kwargs"].get("ssl_check_hostname") is (False if sentinels else None)
    assert "tls" not in app.conf.broker_url


def test_sentinels_have_a_user_and_a_password_of_their_own() -> None:
    config = load_settings(
        redis={"url": SENTINELS, "sentinel_username": "watcher", "sentinel_password": "s3cret", "socket_timeout": 3}
    )
    pool = make_client(config.redis).connection_pool
    assert (asked_with(pool)["username"], asked_with(pool)["password"]) == ("watcher", "s3cret")
    assert pool.connection_kwargs["password"] == "p@ss"
    app = make_app(config)
    for options in (app.conf.broker_transport_options, app.conf.result_backend_transport_options):
        told = options["sentinel_kwargs"]
        assert (told["username"], told["password"], told["socket_timeout"]) == ("watcher", "s3cret", 3)
    assert "s3cret" not in repr(config)
    assert "s3cret" not in app.conf.humanize()


def test_results_may_have_sentinels_of_their_own() -> None:
    app = make_app(load_settings(redis={"url": "redis://h", "result_url": "sentinel://one/0?tls=redis"}))
    assert "sentinel_kwargs" not in app.conf.broker_transport_options
    assert not app.conf.broker_use_ssl
    assert "sentinel_kwargs" in app.conf.result_backend_transport_options
    assert app.conf.redis_backend_use_ssl["ssl_cert_reqs"] == "required"


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("?tls=maybe", "one of all, sentinels or redis"),
        ("?ssl_cert_reqs=none", "tls=all, tls=sentinels or tls=redis beside the other parameters"),
        ("?tls=all&colour=blue", "not colour"),
        (";sentinel://two?tls=all", "parameters at the first address alone"),
    ],
)
def test_parameters_that_a_sentinel_url_cannot_have_are_refused(query: str, allowed: str) -> None:
    with pytest.raises(ValidationError, match=allowed):
        RedisSettings(url=f"sentinel://one/0{query}")


def test_sentinels_say_why_none_of_them_names_a_master() -> None:
    client = make_client(RedisSettings(url="sentinel://127.0.0.1:1;sentinel://127.0.0.1:2", sentinel_master="queue"))
    with pytest.raises(
        MasterNotFoundError, match=r"no sentinel names a master 'queue': 127.0.0.1:1: .*; 127.0.0.1:2: "
    ):
        client.ping()


@pytest.mark.parametrize("url", ["memcached://h", "redis:/h", "", "sentinel://"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        RedisSettings(url=url)
    if url:
        with pytest.raises(ValidationError):
            RedisSettings(result_url=url)


@pytest.mark.parametrize("query", ["bogus=1", "socket_timeout=abc"])
def test_parameters_that_redis_py_does_not_take_are_refused_before_it_connects(query: str) -> None:
    with pytest.raises(SettingsInvalid, match=query.partition("=")[0]) as refused:
        make_client(RedisSettings(url=f"redis://:secret@127.0.0.1:1/0?{query}"))
    assert "secret" not in str(refused.value)
