"""How long the ledger keeps what has ended: what succeeded for hours, what is to be tried again for days."""

from __future__ import annotations

import pytest

from dagy_queue.ledger import Phase, RunStatus
from dagy_queue.ledger.runs import CeleryState
from dagy_queue.settings import RedisSettings
from tests.integration.ledger.admission_kit import DONE, Scene

HOURS, DAYS = RedisSettings().finished_ttl, RedisSettings().failed_ttl
DROPPED = CeleryState("celery-", '{"status": "REVOKED", "task_id": "@dagy:id@"}', 60)


def seconds_left(scene: Scene, *name: str) -> int:
    return int(scene.connection.client.ttl(scene.connection.key(*name)))  # type: ignore[arg-type]


def is_about(found: int, seconds: int) -> bool:
    return seconds - 60 < found <= seconds


@pytest.mark.parametrize(
    ("status", "seconds"),
    [(RunStatus.SUCCEEDED, HOURS), (RunStatus.FAILED, DAYS), (RunStatus.CANCELLED, DAYS)],
)
def test_a_run_that_did_not_succeed_is_kept_longer(scene: Scene, status: RunStatus, seconds: int) -> None:
    scene.park("r")
    (grant,) = scene.admission.lease(1, 60).grants
    scene.end("r")
    assert seconds_left(scene, "run", "r") == -1
    assert scene.runs.finish(grant.attempt_id, status)
    assert is_about(seconds_left(scene, "run", "r"), seconds)


def test_a_shard_that_is_dropped_is_kept_as_long_as_one_that_failed(scene: Scene) -> None:
    (run_id,) = scene.batch(1)
    assert scene.runs.drop_shards([run_id], "because", DONE, DROPPED) == []
    assert is_about(seconds_left(scene, "run", run_id), DAYS)


def test_a_batch_and_all_that_belongs_to_it_is_kept_as_long_as_its_failed_shards(scene: Scene) -> None:
    failed, succeeded = scene.batch(2)
    batch_id = scene.runs.get(failed).batch_id
    first, second = scene.admission.lease(2, 60).grants
    for grant, status in ((first, RunStatus.FAILED), (second, RunStatus.SUCCEEDED)):
        scene.end(grant.attempt_id.run_id)
        scene.runs.finish(grant.attempt_id, status)
    scene.batches.end(batch_id)
    kept = [seconds_left(scene, "batch", batch_id, *part) for part in ((), ("counts",), ("done",))]
    assert all(is_about(seconds, DAYS) for seconds in kept), kept
    # The next morning.
    assert scene.connection.client.delete(scene.connection.key("run", succeeded))
    assert scene.batches.counts(batch_id) == {Phase.FAILED: 1, Phase.SUCCEEDED: 1}
    assert len(scene.batches.deltas(batch_id, [scene.runs.get(failed).shard or 0])) == 1


def test_what_failed_is_never_forgotten_before_what_succeeded() -> None:
    assert RedisSettings(finished_ttl=90 * 86400).longest_ttl == 90 * 86400
    assert RedisSettings(finished_ttl=7200, failed_ttl=1).longest_ttl == 7200
