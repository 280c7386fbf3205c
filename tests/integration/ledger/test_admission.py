"""What the ledger lets dispatchers launch: rates, slots and windows that all of them share, on a real Redis."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dagy_queue.ledger import AdmissionLedger, Continuation, Phase, RedisConnection
from dagy_queue.ledger.admission import Limits, Rate, Released
from dagy_queue.ledger.runs import Observation, Place
from tests.integration.ledger.admission_kit import ARN, DONE, POOL, SLOW, Scene, names

SPOT = "us-east-1/dagy|FARGATE_SPOT"
ELSEWHERE = "eu-west-1/dagy|FARGATE"


def test_no_more_is_granted_than_there_are_tokens(scene: Scene) -> None:
    scene.park(*names("r", 30))
    assert len(scene.granted(calls=Rate(SLOW, 20))) == 20
    assert scene.granted(calls=Rate(SLOW, 20)) == []


def test_the_pump_is_told_when_the_next_token_comes(scene: Scene) -> None:
    scene.park(*names("r", 3))
    granted = scene.admission.lease(10, 600, Limits(calls=Rate(2, 2)))
    assert len(granted.grants) == 2
    assert granted.next_due is not None
    assert 0.3 < granted.next_due <= 0.5
    assert not granted.more


def test_tokens_come_back_at_the_rate(scene: Scene) -> None:
    rate, burst = 100, 10
    scene.park(*names("r", 400))
    began = asked = time.monotonic()
    found, sure, level = 0, 0.0, float(burst)
    while asked - began < 1.5:
        granted = scene.admission.lease(50, 60, Limits(calls=Rate(rate, burst)))
        answered = time.monotonic()
        found += len(granted.grants)
        assert found <= burst + rate * (answered - began) + 1
        sure, level = sure + level, 0.0
        scene.admission.wait(granted.next_due or 0.01)
        asked = time.monotonic()
        level = min(burst, rate * (asked - answered))  # this many came back at least, and no more than fit
    assert found >= 0.9 * (sure - 5)


def test_several_clients_share_the_tokens(scene: Scene, connection: RedisConnection) -> None:
    scene.park(*names("r", 300))
    limits = Limits(calls=Rate(SLOW, 200))

    def take(_: int) -> list[str]:
        return [g.attempt_id.run_id for g in AdmissionLedger(connection).lease(7, 60, limits).grants]

    with ThreadPoolExecutor(8) as pool:
        found = [run_id for ids in pool.map(take, range(100)) for run_id in ids]
    assert len(found) == len(set(found)) == 200


def test_capacity_types_have_launches_of_their_own(scene: Scene) -> None:
    scene.park(*names("r", 5))
    scene.park(*names("s", 5), pool=SPOT)
    found = scene.granted(launches=Rate(SLOW, 3))
    assert sorted(run_id[0] for run_id in found) == ["r", "r", "r", "s", "s", "s"]


def test_a_strategy_of_both_takes_from_both(scene: Scene) -> None:
    scene.park(*names("r", 5), pool="us-east-1/dagy|FARGATE+FARGATE_SPOT")
    assert len(scene.granted(launches=Rate(SLOW, 2))) == 2
    scene.park("s", pool=SPOT)
    assert scene.granted(launches=Rate(SLOW, 2)) == []


def test_launches_on_instances_have_no_quota_of_fargates(scene: Scene) -> None:
    scene.park(*names("r", 5), pool="us-east-1/dagy|EC2")
    assert len(scene.granted(launches=Rate(SLOW, 1))) == 5


def test_regions_have_quotas_of_their_own(scene: Scene) -> None:
    scene.park(*names("r", 3))
    scene.park(*names("e", 3), pool=ELSEWHERE)
    assert len(scene.granted(calls=Rate(SLOW, 2))) == 4


def test_pools_that_share_a_quota_take_turns_also_from_call_to_call(scene: Scene, connection: RedisConnection) -> None:
    pools = [POOL, SPOT, "us-east-1/other|FARGATE"]
    for name, pool in zip("abc", pools, strict=True):
        scene.park(*names(name, 10), pool=pool)
    found = []
    for _ in range(9):
        connection.client.delete(connection.key("bucket", "calls", "us-east-1"))
        found += scene.granted(calls=Rate(SLOW, 1))
    assert sorted(run_id[0] for run_id in found) == [*"aaabbbccc"]


def test_a_pool_in_which_nothing_waits_is_forgotten(scene: Scene, connection: RedisConnection) -> None:
    scene.park("r")
    scene.granted()
    scene.granted()
    assert connection.client.exists(connection.key("pool_turns")) == 0


def test_a_cluster_has_room_for_so_many_tasks(scene: Scene) -> None:
    scene.park(*names("r", 5))
    first = scene.granted(tasks=2)
    assert len(first) == 2
    assert scene.granted(tasks=2) == []
    scene.end(first[0])
    assert len(scene.granted(tasks=2)) == 1


def test_a_cluster_has_room_for_so_many_vcpus(scene: Scene) -> None:
    scene.park(*names("r", 5), cpu=1024)
    assert len(scene.granted(cpu=2048 + 512)) == 2


def test_an_org_that_is_full_does_not_stand_in_the_way(scene: Scene) -> None:
    scene.park(*names("a", 5))
    scene.park(*names("b", 5), org="beta")
    assert sorted(scene.granted(org_tasks=2)) == ["a0", "a1", "b0", "b1"]


def test_an_org_has_so_many_vcpus(scene: Scene) -> None:
    scene.park(*names("a", 5), cpu=4096)
    scene.park(*names("b", 5), org="beta", cpu=256)
    assert sorted(scene.granted(org_cpu=4096)) == ["a0", "b0", "b1", "b2", "b3", "b4"]


def test_a_slot_that_becomes_free_wakes_a_pump(scene: Scene, connection: RedisConnection) -> None:
    scene.park("r0", "r1")
    (first,) = scene.granted(tasks=1)
    connection.client.delete(connection.key("wake"))
    scene.end(first)
    assert connection.client.llen(connection.key("wake")) == 1


def test_dispatchers_without_a_free_thread_leave_one_token_and_not_one_each_time(
    scene: Scene, connection: RedisConnection
) -> None:
    for _ in range(10):
        scene.admission.pass_on()
    scene.admission.interrupt()
    assert connection.client.llen(connection.key("wake")) == 1


def test_a_long_lane_of_a_cancelled_batch_is_dropped_in_parts_and_holds_up_no_other_org(scene: Scene) -> None:
    ids = scene.batch(2500)
    scene.park("other", org="beta")
    scene.batches.cancel(str(scene.runs.get(ids[0]).batch_id), "not wanted")
    key = scene.connection.key("lane", POOL, "acme")
    first = scene.admission.lease(10, 60)
    assert [grant.attempt_id.run_id for grant in first.grants] == ["other"]
    assert first.next_due == 0, "the pump comes again at once"
    assert scene.connection.client.zcard(key) == 1500
    assert scene.granted() == []
    assert scene.granted() == []
    assert scene.connection.client.zcard(key) == 0


def test_a_slot_is_free_again_when_a_lease_runs_out_or_a_launch_is_refused(scene: Scene) -> None:
    scene.park("r0")
    scene.admission.lease(1, 0.0, Limits(tasks=1))
    (grant,) = scene.admission.lease(1, 60, Limits(tasks=1)).grants
    answer = scene.admission.release(grant.attempt_id, delay=0, new_attempt=False, give_up_after=60, reason="")
    assert answer is Released.HELD
    assert scene.granted(tasks=1) == ["r0"]


def test_a_window_lets_only_so_many_shards_go(scene: Scene) -> None:
    ids = scene.batch(10, window=3)
    assert scene.granted() == ids[:3]
    assert scene.granted() == []
    scene.end(ids[1])
    assert scene.granted() == [ids[3]]


def test_a_window_does_not_hold_up_what_is_behind_it(scene: Scene) -> None:
    ids = scene.batch(10, window=2)
    scene.park("behind")
    assert scene.granted() == [*ids[:2], "behind"]


def test_a_shard_that_was_cancelled_gives_its_place_to_the_next(scene: Scene) -> None:
    ids = scene.batch(4, window=1)
    for run_id in ids[:2]:
        scene.runs.cancel(run_id, "because", DONE)
    assert scene.granted() == [ids[2]]


def test_a_shard_that_is_tried_again_waits_for_a_place(scene: Scene) -> None:
    ids = scene.batch(3, window=1)
    (grant,) = scene.admission.lease(5, 60).grants
    scene.runs.complete(grant.attempt_id, DONE)
    assert scene.runs.retry(grant.attempt_id, 0) == 2
    assert scene.granted() == [ids[1]]
    scene.end(ids[1])
    assert scene.granted() == [ids[0]]


def test_a_run_that_is_out_of_time_does_not_wait_for_another_try(scene: Scene, connection: RedisConnection) -> None:
    scene.runs.park(
        "r",
        request={},
        continuation=Continuation("queue", "{}"),
        place=Place(pool=POOL, org="acme", timeout=60),
        expires=None,
        about={},
    )
    (grant,) = scene.admission.lease(1, 60).grants
    scene.admission.launched(grant.attempt_id, ARN)
    scene.runs.complete(grant.attempt_id, DONE)
    scene.runs.retry(grant.attempt_id, 0)
    (again,) = scene.admission.lease(1, 60).grants
    connection.client.zadd(connection.key("deadlines"), {"r": 1})
    scene.granted()
    answer = scene.admission.release(again.attempt_id, delay=0, new_attempt=False, give_up_after=600, reason="")
    assert answer is Released.EXPIRED


def test_a_task_that_is_first_seen_on_its_way_down_is_in_flight(scene: Scene, connection: RedisConnection) -> None:
    scene.park("r")
    (grant,) = scene.admission.lease(1, 0.0).grants
    scene.granted(0)
    scene.runs.apply([Observation(attempt_id=grant.attempt_id, version=3, task_arn=ARN)])
    assert scene.runs.get("r").phase is Phase.SUBMITTED
    assert connection.client.hget(connection.key("slots", "us-east-1/dagy"), "tasks") == "1"


def test_tasks_are_stopped_at_a_rate(scene: Scene) -> None:
    scene.park(*names("r", 5))
    for grant in scene.admission.lease(5, 60).grants:
        arn = f"arn:aws:ecs:us-east-1:1:task/dagy/{grant.attempt_id.run_id}"
        scene.admission.launched(grant.attempt_id, arn)
        scene.runs.cancel(grant.attempt_id.run_id, "because", DONE)
    granted = scene.admission.lease(5, 60, Limits(stops=Rate(1, 3)))
    assert len(granted.unwanted) == 3
    assert granted.next_due is not None
    assert granted.next_due <= 1


@pytest.mark.parametrize("stops", [None, Rate(SLOW, 1000)])
def test_more_stops_than_one_call_gives_are_due_a_second_later(scene: Scene, stops: Rate | None) -> None:
    scene.park(*names("r", 150))
    for grant in scene.admission.lease(150, 60).grants:
        scene.admission.launched(grant.attempt_id, f"{ARN}{grant.attempt_id.run_id}")
        scene.runs.cancel(grant.attempt_id.run_id, "because", DONE)
    first = scene.admission.lease(5, 60, Limits(stops=stops))
    assert (len(first.unwanted), first.next_due) == (100, 1), "they wait for a second, not for an idle pump's next look"
    second = scene.admission.lease(5, 60, Limits(stops=stops))
    assert len(second.unwanted) == 50
    assert second.next_due != 1, "nothing is left that is due"


def test_stops_that_wait_for_tokens_are_due_with_the_next_one(scene: Scene) -> None:
    scene.park(*names("r", 150))
    for grant in scene.admission.lease(150, 60).grants:
        scene.admission.launched(grant.attempt_id, f"{ARN}{grant.attempt_id.run_id}")
        scene.runs.cancel(grant.attempt_id.run_id, "because", DONE)
    granted = scene.admission.lease(5, 60, Limits(stops=Rate(SLOW, 100)))
    assert len(granted.unwanted) == 100
    again = scene.admission.lease(5, 60, Limits(stops=Rate(SLOW, 100)))
    assert again.unwanted == ()
    assert again.next_due is not None
    assert again.next_due > 0, "nobody comes again and again for a token"


def test_the_small_org_is_launched_at_half_the_rate_from_its_first_second(scene: Scene) -> None:
    scene.park(*names("a", 200))
    scene.park(*names("b", 10), org="beta")
    assert [run_id[0] for run_id in scene.granted(20)].count("b") == 10


def test_a_run_of_high_priority_goes_before_all_others_of_its_org(scene: Scene) -> None:
    scene.park(*names("r", 200), priority=5)
    scene.park("urgent", priority=0)
    assert scene.granted(1) == ["urgent"]


@pytest.mark.parametrize(("junk", "place"), [("high", 0), ("", 0), ("nan", 2), ("1e999", 2), ("-7", 0), ("7.5", 1)])
def test_a_priority_that_is_none_stops_nobody(scene: Scene, junk: str, place: int) -> None:
    scene.park("urgent", priority=0)
    scene.park("last", priority=9)
    scene.park("junk", priority=junk)  # type: ignore[arg-type]
    expected = ["urgent", "last"]
    expected.insert(place + (place == 0), "junk")
    assert scene.granted() == expected


def test_slots_are_all_free_when_all_is_over(scene: Scene, connection: RedisConnection) -> None:
    scene.park(*names("r", 20))
    scene.end(*scene.granted())
    slots = connection.client.hgetall(connection.key("slots", "us-east-1/dagy"))
    assert set(slots.values()) == {"0"}  # type: ignore[union-attr]


def test_a_run_larger_than_the_limit_goes_alone(scene: Scene) -> None:
    scene.park("large", cpu=4096)
    scene.park("small", cpu=256)
    assert scene.granted(cpu=1024) == ["large"]
    scene.end("large")
    assert scene.granted(cpu=1024) == ["small"]
