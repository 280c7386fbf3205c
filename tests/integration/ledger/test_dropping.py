"""What is not wanted any more: shards that wait are dropped, cancelled batches get nothing, orphans are stopped."""

from __future__ import annotations

import json

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Phase, RunStatus
from dagy_queue.ledger.admission import Noted, Unwanted
from dagy_queue.ledger.runs import Applied, CeleryState, Observation
from tests.integration.ledger.admission_kit import DONE, Scene


def results_of(scene: Scene, run_ids: list[str]) -> list[str | None]:
    return scene.connection.client.mget([f"celery-{run_id}" for run_id in run_ids])  # type: ignore[return-value]


RESULT = CeleryState("celery-", '{"status": "REVOKED", "task_id": "@dagy:id@"}', 60)


def test_waiting_shards_are_dropped_with_their_results_and_without_messages(scene: Scene) -> None:
    ids = scene.batch(6, window=3)
    running = scene.granted(1)
    before = scene.connection.client.llen("queue")
    scene.connection.client.delete(scene.connection.key("wake"))
    assert scene.runs.drop_shards(ids, "because", DONE, RESULT) == running
    assert [json.loads(text)["task_id"] if text else None for text in results_of(scene, ids)] == [None, *ids[1:]]
    assert scene.connection.client.llen("queue") == before
    assert {scene.runs.get(run_id).phase for run_id in ids[1:]} == {Phase.CANCELLED}
    assert scene.connection.client.llen(scene.connection.key("wake")) == 1, "others may go now"
    assert scene.granted() == []


def test_a_shard_that_is_dropped_can_be_tried_again_as_it_was(scene: Scene) -> None:
    ids = scene.batch(2, own=[{"parameters": {"n": 1}}, {}])
    batch_id = scene.runs.get(ids[0]).batch_id
    assert scene.runs.drop_shards(ids, "because", DONE, RESULT) == []
    assert scene.batches.deltas(batch_id, [0, 1]) == [{"parameters": {"n": 1}}, {}]


def test_where_results_are_elsewhere_no_shard_is_dropped(scene: Scene) -> None:
    ids = scene.batch(2)
    assert scene.runs.drop_shards(ids, "because", DONE, CeleryState("", "{}", 60)) == ids


def test_a_cancelled_batch_is_granted_nothing(scene: Scene) -> None:
    ids = scene.batch(2)
    batch_id = scene.runs.get(ids[0]).batch_id
    scene.batches.cancel(batch_id, "because")
    scene.park("other")
    assert scene.granted() == ["other"]


def test_a_task_of_an_attempt_that_is_still_to_come_is_left_alone(scene: Scene) -> None:
    """Redis has lost a moment, as in a failover; the attempt will be answered with this task."""
    scene.park("held", "stopped")
    scene.admission.lease(2, 60)
    scene.end("stopped")
    scene.admission.give_back(AttemptId("held", 1), called=True)
    arn = "arn:aws:ecs:us-east-1:1:task/dagy/ahead"
    seen = [
        Observation(attempt_id=AttemptId(run_id, 2), version=2, task_arn=arn, phase=Phase.RUNNING)
        for run_id in ("held", "stopped")
    ]
    assert scene.runs.apply(seen) == [Applied.STALE] * 2
    assert [scene.admission.launched(each.attempt_id, arn) for each in seen] == [Noted.AHEAD] * 2
    assert scene.admission.lease(1, 60).unwanted == ()


def test_a_task_of_an_attempt_that_will_not_come_is_stopped(scene: Scene) -> None:
    scene.park("r")
    (grant,) = scene.admission.lease(1, 60).grants
    scene.end("r")
    scene.runs.finish(grant.attempt_id, RunStatus.SUCCEEDED)
    arn = "arn:aws:ecs:us-east-1:1:task/dagy/ahead"
    seen = Observation(attempt_id=AttemptId("r", 2), version=2, task_arn=arn, phase=Phase.RUNNING)
    assert scene.runs.apply([seen]) == [Applied.STALE]
    assert scene.admission.launched(seen.attempt_id, arn) is Noted.STALE
    assert scene.admission.lease(1, 60).unwanted == (Unwanted(arn, "its run is over"),)


def test_a_task_that_nobody_heard_of_is_stopped_when_its_run_is_over(scene: Scene) -> None:
    scene.park("r")
    (grant,) = scene.admission.lease(1, 60).grants
    scene.runs.complete(grant.attempt_id, DONE)
    arn = "arn:aws:ecs:us-east-1:1:task/dagy/orphan"
    alive = Observation(attempt_id=grant.attempt_id, version=2, task_arn=arn, phase=Phase.PENDING)
    assert scene.runs.apply([alive]) == [Applied.STALE]
    assert scene.admission.lease(1, 60).unwanted == (Unwanted(arn, "its run is over"),)
    assert scene.admission.lease(1, 60).unwanted == ()
