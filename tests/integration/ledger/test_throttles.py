"""What throttles do to the rate that dispatchers share: the bucket is empty, the rate falls, and it rises again."""

from __future__ import annotations

import pytest

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.admission import Limits, Rate
from tests.integration.ledger.admission_kit import ARN, SLOW, Scene, names


def throttled(scene: Scene, *run_ids: str) -> None:
    for run_id in run_ids:
        scene.admission.release(
            AttemptId(run_id, 1), delay=600, new_attempt=False, give_up_after=600, reason="", throttled=True
        )


def factor(connection: RedisConnection) -> float:
    return float(connection.client.hget(connection.key("throttle", "us-east-1"), "factor") or 1)  # type: ignore[arg-type]


def long_ago(connection: RedisConnection, milliseconds: int) -> None:
    """Move the last throttle into the past."""
    connection.client.hincrby(connection.key("throttle", "us-east-1"), "at", -milliseconds)


def test_a_throttle_empties_the_bucket_for_all(scene: Scene, connection: RedisConnection) -> None:
    scene.park(*names("r", 5))
    limits = {"calls": Rate(SLOW, 20)}
    throttled(scene, *scene.granted(1, **limits))
    assert scene.granted(**limits) == []
    assert factor(connection) == 1


def test_what_only_limits_calls_is_forgotten_when_nobody_calls_any_more(
    scene: Scene, connection: RedisConnection
) -> None:
    limits = {"calls": Rate(20, 20), "launches": Rate(20, 100), "cpu": 1024}
    scene.park("small", cpu=256)
    assert scene.granted(**limits) == ["small"]
    scene.park("large", cpu=1024)
    assert scene.granted(**limits) == []
    throttled(scene, "small")
    kept = {
        str(key).split(":")[1]: int(connection.client.ttl(key))
        for name in ("bucket", "throttle", "large")
        for key in connection.client.scan_iter(connection.key(name, "*"))
    }
    assert kept.keys() == {"bucket", "throttle", "large"}
    assert all(0 < seconds <= 3600 for seconds in kept.values())


def test_a_bucket_is_not_forgotten_before_it_is_full_again(scene: Scene, connection: RedisConnection) -> None:
    scene.park("r0", "r1")
    limits = {"calls": Rate(0.001, 20)}
    throttled(scene, *scene.granted(1, **limits))
    bucket = connection.key("bucket", "calls", "us-east-1")
    assert int(connection.client.ttl(bucket)) > 3600
    assert scene.granted(**limits) == []


def test_a_bucket_that_is_never_full_again_is_forgotten_all_the_same(scene: Scene, connection: RedisConnection) -> None:
    scene.park("r")
    assert scene.granted(1, calls=Rate(1e-300, 20)) == ["r"]
    assert 0 < int(connection.client.ttl(connection.key("bucket", "calls", "us-east-1"))) <= 30 * 86400


def test_throttles_of_one_second_are_one_incident(scene: Scene, connection: RedisConnection) -> None:
    scene.park(*names("r", 5))
    throttled(scene, *scene.granted())
    assert factor(connection) == 1


def test_throttles_that_come_again_halve_the_rate_each_time(scene: Scene, connection: RedisConnection) -> None:
    scene.park(*names("r", 5))
    seen = []
    for run_id in scene.granted():
        throttled(scene, run_id)
        seen.append(factor(connection))
        long_ago(connection, 2_000)
    assert seen == [1, 0.5, 0.25, 0.125, 0.0625]


def test_a_throttle_long_after_another_changes_no_rate(scene: Scene, connection: RedisConnection) -> None:
    scene.park("r0", "r1")
    for run_id in scene.granted():
        throttled(scene, run_id)
        long_ago(connection, 11_000)
    assert factor(connection) == 1


def test_a_lower_rate_makes_tokens_come_later(scene: Scene, connection: RedisConnection) -> None:
    scene.park(*names("r", 3))
    connection.client.hset(connection.key("throttle", "us-east-1"), "factor", 0.5)
    granted = scene.admission.lease(10, 600, Limits(calls=Rate(2, 1)))
    assert granted.next_due is not None
    assert 0.8 < granted.next_due <= 1


def test_launches_that_succeed_raise_the_rate_again(scene: Scene, connection: RedisConnection) -> None:
    scene.park(*names("r", 600))
    connection.client.hset(connection.key("throttle", "us-east-1"), "factor", 0.5)
    seen = []
    for grant in scene.admission.lease(600, 60).grants:
        scene.admission.launched(grant.attempt_id, ARN)
        seen.append(factor(connection))
    assert sorted(set(seen)) == pytest.approx([0.5, 0.6, 0.72, 0.864, 1.0])
