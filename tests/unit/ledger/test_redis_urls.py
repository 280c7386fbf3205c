from __future__ import annotations

import pytest
from kombu import Connection
from pydantic import ValidationError
from redis.connection import SSLConnection, UnixDomainSocketConnection

from dagy_queue.dispatch.celery_settings import use_dispatcher_settings
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


@pytest.mark.parametrize("url", ["memcached://h", "redis:/h", "", "sentinel://"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        RedisSettings(url=url)
    if url:
        with pytest.raises(ValidationError):
            RedisSettings(result_url=url)
