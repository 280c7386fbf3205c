"""Room for large runs, for runs whose size is only known at launch, and for what a container's others leave behind."""

from __future__ import annotations

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Phase, RedisConnection
from dagy_queue.ledger.admission import Released
from tests.integration.ledger.admission_kit import ARN, POOL, Scene, names


def launched(scene: Scene, *run_ids: str, cpu: int | None = None) -> None:
    for run_id in run_ids:
        scene.admission.launched(AttemptId(run_id, 1), ARN + run_id, cpu)


def test_small_runs_pass_one_that_has_no_room_for_a_while(scene: Scene) -> None:
    scene.park("small-1", org="beta", cpu=512)
    assert scene.granted(cpu=1024) == ["small-1"]
    scene.park("large", org="acme", cpu=1024)
    scene.park("small-2", org="beta", cpu=512)
    assert scene.granted(cpu=1024) == ["small-2"]


def test_what_becomes_free_is_kept_for_a_large_run_that_has_waited(scene: Scene) -> None:
    scene.park("small-1", "small-2", org="beta", cpu=512)
    assert scene.granted(cpu=1024) == ["small-1", "small-2"]
    scene.park("large", org="acme", cpu=1024)
    scene.park("small-3", "small-4", org="beta", cpu=512)
    assert scene.granted(cpu=1024) == []
    scene.end("small-1")
    assert scene.granted(cpu=1024, patience=0) == []
    scene.end("small-2")
    assert scene.granted(cpu=1024, patience=0) == ["large"]
    scene.end("large")
    assert scene.granted(cpu=1024, patience=0) == ["small-3", "small-4"]


def test_nothing_is_kept_for_a_large_run_that_was_cancelled(scene: Scene) -> None:
    scene.park("small-1", org="beta", cpu=512)
    scene.granted(cpu=1024)
    scene.park("large", org="acme", cpu=1024)
    assert scene.granted(cpu=1024) == []
    scene.park("small-2", org="beta", cpu=512)
    scene.runs.cancel("large", "not wanted", {})
    assert scene.granted(cpu=1024, patience=0) == ["small-2"]


def test_an_urgent_run_of_the_same_org_passes_the_large_one(scene: Scene) -> None:
    scene.park("small-1", org="beta", cpu=512)
    scene.granted(cpu=1024)
    scene.park("large", org="acme", cpu=1024, priority=5)
    assert scene.granted(cpu=1024) == []
    scene.park("urgent", org="acme", cpu=512, priority=0)
    assert scene.granted(cpu=1024, patience=0) == ["urgent"]


def test_a_run_counts_for_the_size_that_its_launch_found(scene: Scene) -> None:
    scene.park("big", "other", cpu=256)
    assert scene.granted(1, cpu=1024) == ["big"]
    launched(scene, "big", cpu=1024)
    assert scene.granted(cpu=1024) == []
    scene.end("big")
    assert scene.granted(cpu=1024) == ["other"]


def test_slots_are_free_again_whatever_size_a_launch_found(scene: Scene, connection: RedisConnection) -> None:
    scene.park(*names("r", 4), cpu=256)
    scene.granted()
    launched(scene, "r0", "r1", cpu=2048)
    launched(scene, "r0", cpu=1024)
    launched(scene, "r2")
    scene.end(*names("r", 4))
    slots = connection.client.hgetall(connection.key("slots", POOL.split("|")[0]))
    assert {int(value) for value in slots.values()} == {0}


def refused(scene: Scene, run_id: str) -> Released:
    return scene.admission.release(
        AttemptId(run_id, 1), delay=0, new_attempt=False, give_up_after=60, reason="no capacity"
    )


def test_a_leader_that_is_cancelled_and_refused_leaves_its_crew_to_go_on(
    scene: Scene, connection: RedisConnection
) -> None:
    leader, second, third = scene.batch(3, per_run=3)
    assert scene.granted() == [leader]
    scene.runs.cancel(leader, "not wanted", {})
    assert refused(scene, leader) is Released.CANCELLED
    scene.end(leader)
    assert [scene.runs.get(run_id).phase for run_id in (second, third)] == [Phase.HELD, Phase.HELD]
    [grant] = scene.admission.lease(10, 60).grants
    assert (grant.attempt_id.run_id, [m.attempt_id.run_id for m in grant.crew]) == (second, [third])
    scene.end(second)
    slots = connection.client.hgetall(connection.key("slots", POOL.split("|")[0]))
    assert {int(value) for value in slots.values()} == {0}


def test_a_crew_that_nobody_wants_ends_with_its_leader(scene: Scene) -> None:
    ids = scene.batch(3, per_run=3)
    scene.granted()
    for run_id in ids:
        scene.runs.cancel(run_id, "not wanted", {})
    assert refused(scene, ids[0]) is Released.CANCELLED
    scene.end(ids[0])
    assert {scene.runs.get(run_id).phase for run_id in ids} == {Phase.STOPPED}
