"""Shards that share a container share its deadlines, and each goes on by itself after it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Phase, RedisConnection
from dagy_queue.ledger.admission import Unwanted
from dagy_queue.ledger.sweeps import SweepLedger
from tests.integration.ledger.admission_kit import ARN, DONE, Scene

LONG = 3600.0


@pytest.fixture
def crew(scene: Scene) -> list[str]:
    """The runs of one container, the leader first; it is launched, and may run for an hour."""
    ids = scene.batch(3, per_run=3, timeout=LONG)
    assert scene.granted() == ids[:1]
    scene.admission.launched(AttemptId(ids[0], 1), ARN)
    return ids


def time_passes(connection: RedisConnection, *run_ids: str) -> None:
    """Have the timeout of runs be over."""
    connection.client.zadd(connection.key("deadlines"), dict.fromkeys(run_ids, 1), xx=True)


def verdicts(scene: Scene, run_ids: Sequence[str]) -> list[tuple[bool, bool]]:
    """Return of each whether it is late, and whether it never started."""
    stopped = [scene.runs.claim(run_id) for run_id in run_ids]
    return [(each.is_late, each.never_started) for each in stopped if each is not None]


def test_all_in_a_container_that_did_not_start_in_time_are_late(
    scene: Scene, crew: list[str], connection: RedisConnection
) -> None:
    assert SweepLedger(connection).late_start(AttemptId(crew[0], 1))
    scene.end(crew[0])
    assert verdicts(scene, crew) == [(True, True)] * 3
    for run_id in crew:  # that was the attempt's
        assert scene.runs.retry(AttemptId(run_id, 1), LONG) == 2
        scene.runs.complete(AttemptId(run_id, 2), DONE)
    assert verdicts(scene, crew) == [(False, False)] * 3


def test_all_in_a_container_whose_time_is_over_are_late(
    scene: Scene, crew: list[str], connection: RedisConnection
) -> None:
    time_passes(connection, crew[0])
    assert scene.admission.lease(1, 60).unwanted == (Unwanted(ARN, "its timeout is over"),)
    scene.end(crew[0])
    assert verdicts(scene, crew) == [(True, False)] * 3


def test_one_container_is_stopped_once_when_the_time_of_all_is_over(
    scene: Scene, crew: list[str], connection: RedisConnection
) -> None:
    time_passes(connection, *crew)
    assert [task.task_arn for task in scene.admission.lease(1, 60).unwanted] == [ARN]
    assert scene.admission.lease(1, 60).unwanted == ()


def test_a_shard_that_is_tried_again_by_itself_has_no_more_time_than_its_container_had(
    scene: Scene, crew: list[str], connection: RedisConnection
) -> None:
    scene.end(crew[0])
    assert scene.runs.retry(AttemptId(crew[2], 1), LONG) == 2
    time_passes(connection, *crew)
    scene.admission.lease(0, 60)
    assert scene.runs.get(crew[2]).phase is Phase.STOPPED
    assert verdicts(scene, crew[2:]) == [(True, False)]


def test_a_timeout_that_is_over_stays_so_when_the_task_did_not_start_in_time_either(
    scene: Scene, crew: list[str], connection: RedisConnection
) -> None:
    time_passes(connection, *crew)
    scene.admission.lease(1, 60)
    assert not SweepLedger(connection).late_start(AttemptId(crew[0], 1))
    scene.end(crew[0])
    assert verdicts(scene, crew) == [(True, False)] * 3


def test_a_crew_whose_leader_leaves_after_an_unanswered_launch_goes_on_as_another_attempt(scene: Scene) -> None:
    ids = scene.batch(3, per_run=3)
    (grant,) = scene.admission.lease(1, 60).grants
    scene.admission.give_back(grant.attempt_id, called=True)
    scene.runs.cancel(ids[0], "not wanted", DONE)
    (again,) = scene.admission.lease(1, 60).grants
    assert again.attempt_id == AttemptId(ids[1], 2)  # ECS may run all three as their first attempt
    assert [member.attempt_id for member in again.crew] == [AttemptId(ids[2], 2)]


def test_a_crew_whose_leader_leaves_before_any_launch_goes_on_as_it_was(scene: Scene) -> None:
    ids = scene.batch(3, per_run=3)
    scene.runs.cancel(ids[0], "not wanted", DONE)
    (grant,) = scene.admission.lease(1, 60).grants
    assert grant.attempt_id == AttemptId(ids[1], 1)


def test_one_that_left_the_container_is_not_late_with_it(scene: Scene, connection: RedisConnection) -> None:
    ids = scene.batch(3, per_run=3, timeout=LONG)
    scene.runs.cancel(ids[1], "not wanted", DONE)
    assert scene.granted() == ids[:1]
    scene.admission.launched(AttemptId(ids[0], 1), ARN)
    SweepLedger(connection).late_start(AttemptId(ids[0], 1))
    scene.end(ids[0])
    assert verdicts(scene, ids) == [(True, True), (False, False), (True, True)]


def test_a_container_is_stopped_when_the_last_one_that_was_wanted_has_left_it(scene: Scene, crew: list[str]) -> None:
    for run_id in (crew[0], crew[1]):
        scene.runs.cancel(run_id, "not wanted", DONE)
    assert scene.admission.lease(1, 60).unwanted == ()
    scene.runs.complete(AttemptId(crew[2], 1), DONE)
    assert scene.admission.lease(1, 60).unwanted == (Unwanted(ARN, "not wanted"),)


def test_a_container_goes_on_for_those_who_stay(scene: Scene, crew: list[str]) -> None:
    scene.runs.cancel(crew[0], "not wanted", DONE)
    scene.runs.complete(AttemptId(crew[2], 1), DONE)
    assert scene.admission.lease(1, 60).unwanted == ()
