from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from dagy_queue.bridge.health import HealthCheck, HealthServer
from dagy_queue.bridge.shared import Shared
from dagy_queue.bridge.troubles import Call
from dagy_queue.errors import AwsThrottled, SettingsInvalid
from dagy_queue.ledger import RedisConnection
from dagy_queue.settings import RedisSettings

NOWHERE = RedisSettings(url="redis://:secret@127.0.0.1:1/0")
BEGUN = 1_000_000.0


class Clock:
    def __init__(self) -> None:
        self.seconds = BEGUN

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def thread() -> Iterator[threading.Thread]:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, daemon=True)
    thread.start()
    yield thread
    ended.set()


@pytest.fixture
def shared() -> Shared:
    return Shared.fresh()


def test_a_bridge_is_well_while_it_receives_and_reaches_redis(
    thread: threading.Thread, shared: Shared, connection: RedisConnection
) -> None:
    shared.metrics.received([])
    check = HealthCheck([thread, thread], shared, connection.settings, 20)
    health = check.look()
    check.close()
    assert health.is_well
    assert health.report == {
        "status": "ok",
        "consumers": {"alive": 2, "wanted": 2},
        "last_receive": health.report["last_receive"],
        "receiving": True,
        "redis": "ok",
        "failing_calls": {},
    }
    assert health.report["last_receive"]


def test_a_bridge_whose_consumer_has_died_is_not_well(
    thread: threading.Thread, shared: Shared, connection: RedisConnection
) -> None:
    check = HealthCheck([thread, threading.Thread()], shared, connection.settings, 20)
    health = check.look()
    check.close()
    assert not health.is_well
    assert health.report["consumers"] == {"alive": 1, "wanted": 2}


def test_a_bridge_that_receives_nothing_any_more_is_not_well(
    thread: threading.Thread, shared: Shared, connection: RedisConnection
) -> None:
    clock = Clock()
    check = HealthCheck([thread], shared, connection.settings, 20, clock)
    shared.troubles.failed(Call.RECEIVE, AwsThrottled("slow", code="Throttling"))
    clock.seconds += 80
    assert check.look().is_well
    clock.seconds += 1
    health = check.look()
    check.close()
    assert not health.is_well
    assert (health.report["receiving"], health.report["last_receive"]) == (False, None)
    assert health.report["failing_calls"] == {"receive": "Throttling"}


def test_a_bridge_without_redis_is_not_well_and_tells_no_password(thread: threading.Thread, shared: Shared) -> None:
    check = HealthCheck([thread], shared, NOWHERE, 20)
    health = check.look()
    check.close()
    assert not health.is_well
    assert "cannot be reached" in health.report["redis"]
    assert "secret" not in json.dumps(health.report)


@pytest.fixture
def server(thread: threading.Thread, shared: Shared, connection: RedisConnection) -> Iterator[HealthServer]:
    check = HealthCheck([thread], shared, connection.settings, 20)
    made = HealthServer("127.0.0.1", 0, check, shared.metrics)
    made.start()
    yield made
    made.stop()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_health_is_served_as_json(server: HealthServer) -> None:
    status, text = get(f"{server.url}/healthz")
    assert (status, json.loads(text)["status"]) == (200, "ok")


def test_what_is_not_well_is_503(shared: Shared) -> None:
    check = HealthCheck([threading.Thread()], shared, NOWHERE, 20)
    server = HealthServer("127.0.0.1", 0, check, shared.metrics)
    server.start()
    status, text = get(f"{server.url}/healthz")
    server.stop()
    assert (status, json.loads(text)["status"]) == (503, "failing")


def test_metrics_are_served_for_prometheus(server: HealthServer, shared: Shared) -> None:
    shared.metrics.done("resumed", 0.0)
    status, text = get(f"{server.url}/metrics")
    assert status == 200
    assert 'dagy_bridge_messages_total{kind="resumed"} 1.0' in text
    assert 'dagy_bridge_messages_total{kind="quarantined"} 0.0' in text  # before the first one, for alerts
    assert "dagy_bridge_lag_seconds_count 1.0" in text


def test_nothing_else_is_served(server: HealthServer) -> None:
    assert get(f"{server.url}/")[0] == 404


def test_the_server_stops_at_once_with_a_request_open(server: HealthServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        thread = threading.Thread(target=server.stop)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()


def test_a_port_that_is_taken_is_told_with_its_setting(server: HealthServer, shared: Shared) -> None:
    port = int(server.url.rpartition(":")[2])
    check = HealthCheck([], shared, NOWHERE, 20)
    with pytest.raises(SettingsInvalid, match="DAGY_QUEUE__BRIDGE__HEALTH_PORT"):
        HealthServer("127.0.0.1", port, check, shared.metrics)
