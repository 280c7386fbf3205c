"""Batches that are cancelled while dispatchers die, shards end and retries begin: all of them end."""

from __future__ import annotations

import json

import pytest

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Phase, RunStatus
from dagy_queue.ledger.admission import Released
from dagy_queue.ledger.runs import Applied, CeleryState, Observation
from tests.integration.ledger.admission_kit import ARN, DONE, Scene

RESULT = CeleryState("celery-task-meta-", json.dumps({"task_id": "@dagy:id@"}), 100)


def walk(scene: Scene, ids: list[str]) -> None:
    """Do what the dispatcher's task does that cancels a batch."""
    others = scene.runs.drop_shards(ids, "not wanted", DONE, RESULT)
    scene.runs.cancel_all(others, "not wanted", DONE)


def cancel(scene: Scene, ids: list[str]) -> None:
    batch_id = scene.runs.get(ids[0]).batch_id
    scene.batches.cancel(batch_id, "not wanted")
    walk(scene, ids)
    scene.batches.cancelled(batch_id)


def conclude(scene: Scene, run_id: str) -> None:
    stopped = scene.runs.claim(run_id)
    assert stopped is not None
    assert stopped.cancel_reason == "not wanted"
    assert scene.runs.finish(stopped.attempt_id, RunStatus.CANCELLED)


@pytest.mark.parametrize("window", [None, 1])
def test_a_shard_that_ended_while_its_batch_was_cancelled_is_not_tried_again(scene: Scene, window: int | None) -> None:
    ids = scene.batch(3, window)
    assert scene.granted(1) == [ids[0]]
    scene.admission.launched(AttemptId(ids[0], 1), ARN)
    scene.end(ids[0])
    cancel(scene, ids)
    assert scene.runs.retry(AttemptId(ids[0], 1), 0) is None
    conclude(scene, ids[0])
    assert {scene.runs.get(run_id).phase for run_id in ids} == {Phase.CANCELLED}


@pytest.mark.parametrize("window", [None, 1])
def test_a_shard_whose_dispatcher_died_while_its_batch_was_cancelled_ends(scene: Scene, window: int | None) -> None:
    ids = scene.batch(3, window)
    assert len(scene.admission.lease(1, 0).grants) == 1
    cancel(scene, ids)
    assert scene.granted() == []
    conclude(scene, ids[0])
    assert {scene.runs.get(run_id).phase for run_id in ids} == {Phase.CANCELLED}


def test_a_shard_that_a_stopping_dispatcher_gave_back_ends_with_its_batch(scene: Scene) -> None:
    ids = scene.batch(2)
    assert scene.granted(1) == [ids[0]]
    cancel(scene, ids)
    assert scene.admission.give_back(AttemptId(ids[0], 1), called=True) is Released.HELD
    assert scene.granted() == []
    conclude(scene, ids[0])


def test_a_run_whose_error_has_half_a_surrogate_ends(scene: Scene) -> None:
    scene.park("r")
    assert scene.granted() == ["r"]
    outcome = {"kind": "failed", "summary": "no such file: 'caf\udce9.csv'"}
    scene.runs.complete(AttemptId("r", 1), {"outcome": outcome})
    assert scene.runs.finish(AttemptId("r", 1), RunStatus.FAILED, outcome)
    entry = scene.runs.get("r")
    assert entry.phase is Phase.FAILED
    assert (entry.completion or {})["outcome"]["summary"] == "no such file: 'caf?.csv'"


def test_a_task_that_is_heard_of_before_its_run_is_launched_goes_on(scene: Scene) -> None:
    """So it is when Redis came back without its last moments: the launch is answered with this task."""
    scene.park("r")
    run = scene.connection.key("run", "r")
    scene.connection.client.hset(run, "phase", "QUEUED")
    event = Observation(attempt_id=AttemptId("r", 1), version=3, task_arn=ARN, phase=Phase.RUNNING)
    assert scene.runs.apply([event]) == [Applied.STALE]
    assert scene.admission.lease(1, 60).unwanted == ()
