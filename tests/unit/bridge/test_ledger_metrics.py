from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from dagy_queue.bridge.ledger_metrics import LedgerMetrics
from dagy_queue.ledger import Continuation, RedisConnection, RunLedger
from dagy_queue.ledger.runs import Place
from dagy_queue.settings import RedisSettings
from tests.unit.kit import settings_on
from tests.unit.ledger.kit import granted_run

US, EU = "us-east-1/dagy", "eu-west-1/blue"


def held(connection: RedisConnection, org: str, count: int, pool: str = f"{US}|FARGATE") -> None:
    for number in range(count):
        RunLedger(connection).park(
            f"{org}-{number}",
            request={},
            continuation=Continuation("queue", "message"),
            place=Place(pool=pool, org=org, cpu=512),
            expires=None,
            about={"org": org},
        )


def registry_of(connection: RedisConnection, **monitor: object) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(LedgerMetrics(settings_on(connection, monitor=monitor), connection))
    return registry


def test_held_runs_are_told_by_cluster_capacity_and_org(connection: RedisConnection) -> None:
    held(connection, "acme", 3)
    held(connection, "beta", 2, f"{EU}|FARGATE_SPOT")
    registry = registry_of(connection)
    value = registry.get_sample_value
    assert value("dagy_held_runs", {"cluster": US, "capacity": "FARGATE", "org": "acme"}) == 3
    assert value("dagy_held_runs", {"cluster": EU, "capacity": "FARGATE_SPOT", "org": "beta"}) == 2
    assert value("dagy_ledger_up") == 1


def test_tasks_in_flight_are_told_with_their_vcpus(connection: RedisConnection) -> None:
    held(connection, "acme", 1)
    granted_run(connection, "other-run")
    registry = registry_of(connection)
    tasks = [
        sample
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "dagy_in_flight_tasks" and sample.value
    ]
    assert [sample.labels["cluster"] for sample in tasks] == [US]


def test_orgs_beyond_the_largest_are_one_label(connection: RedisConnection) -> None:
    for number in range(1, 6):
        held(connection, f"org{number}", number)
    registry = registry_of(connection, most_orgs=2)
    found = {
        sample.labels["org"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "dagy_held_runs"
    }
    assert found == {"org5": 5, "org4": 4, "other": 6}


def test_the_depth_of_a_queue_counts_all_its_priorities(connection: RedisConnection) -> None:
    connection.client.lpush("dagy.launch", "a", "b")
    connection.client.lpush("dagy.launch\x06\x166", "c")
    registry = registry_of(connection)
    assert registry.get_sample_value("dagy_queue_depth", {"queue": "dagy.launch"}) == 3
    assert registry.get_sample_value("dagy_queue_depth", {"queue": "dagy.fanout"}) == 0


def test_rates_are_told_as_throttles_leave_them(connection: RedisConnection) -> None:
    connection.client.hset("dagy:throttle:us-east-1", "factor", "0.5")
    registry = registry_of(connection)
    value = registry.get_sample_value
    assert value("dagy_rate_factor", {"region": "us-east-1"}) == 0.5
    assert value("dagy_rate_limit", {"region": "us-east-1", "limit": "run_task"}) == 10


def test_without_redis_the_endpoint_says_so(connection: RedisConnection) -> None:
    registry = CollectorRegistry()
    away = RedisConnection(RedisSettings(url="redis://127.0.0.1:1/0", socket_timeout=0.2))
    registry.register(LedgerMetrics(settings_on(connection), away))
    assert registry.get_sample_value("dagy_ledger_up") == 0
    assert b"dagy_held_runs" not in generate_latest(registry)


@pytest.mark.parametrize("window", [1, 3])
def test_shards_that_wait_for_their_batches_are_told_by_themselves(connection: RedisConnection, window: int) -> None:
    client = connection.client
    client.sadd("dagy:windowed", "b", "gone")
    client.hset("dagy:batch:b", "created", "1")
    client.zadd("dagy:batch:b:waiting", {f"s{number}": number for number in range(window)})
    registry = registry_of(connection)
    assert registry.get_sample_value("dagy_waiting_runs", {"reason": "max_parallel"}) == window
    assert client.smembers("dagy:windowed") == {"b"}
