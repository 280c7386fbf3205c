"""What is not wanted any more: shards that wait are dropped, cancelled batches get nothing, orphans are stopped."""

from __future__ import annotations

import json

from dagy_queue.ledger import Phase
from dagy_queue.ledger.admission import Unwanted
from dagy_queue.ledger.runs import Applied, CeleryState, Observation
from tests.integration.ledger.admission_kit import DONE, Scene


def results_of(scene: Scene, run_ids: list[str]) -> list[str | None]:
    return scene.connection.client.mget([f"celery-{run_id}" for run_id in run_ids])  # type: ignore[return-value]


RESULT = CeleryState("celery-", '{"status": "REVOKED", "task_id": "@dagy:id@"}', 60)


def test_waiting_shards_are_dropped_with_their_results_and_without_messages(scene: Scene) -> None:
    ids = scene.batch(6, window=3)
    running = scene.granted(1)
    before = scene.connection.client.llen("queue")
    assert scene.runs.drop_shards(ids, "because", DONE, RESULT) == running
    assert [json.loads(text)["task_id"] if text else None for text in results_of(scene, ids)] == [None, *ids[1:]]
    assert scene.connection.client.llen("queue") == before
    assert {scene.runs.get(run_id).phase for run_id in ids[1:]} == {Phase.CANCELLED}
    assert scene.granted() == []


def test_where_results_are_elsewhere_no_shard_is_dropped(scene: Scene) -> None:
    ids = scene.batch(2)
    assert scene.runs.drop_shards(ids, "because", DONE, CeleryState("", "{}", 60)) == ids


def test_a_cancelled_batch_is_granted_nothing(scene: Scene) -> None:
    ids = scene.batch(2)
    batch_id = scene.runs.get(ids[0]).batch_id
    scene.batches.cancel(batch_id, "because")
    scene.park("other")
    assert scene.granted() == ["other"]


def test_a_task_that_nobody_heard_of_is_stopped_when_its_run_is_over(scene: Scene) -> None:
    scene.park("r")
    (grant,) = scene.admission.lease(1, 60).grants
    scene.runs.complete(grant.attempt_id, DONE)
    arn = "arn:aws:ecs:us-east-1:1:task/dagy/orphan"
    alive = Observation(attempt_id=grant.attempt_id, version=2, task_arn=arn, phase=Phase.PENDING)
    assert scene.runs.apply([alive]) == [Applied.STALE]
    assert scene.admission.lease(1, 60).unwanted == (Unwanted(arn, "its run is over"),)
    assert scene.admission.lease(1, 60).unwanted == ()
