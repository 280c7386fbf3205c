"""Which version of its flow a run has: the ledger keeps what its first attempt began with."""

from __future__ import annotations

from dagy_queue.ids import AttemptId
from dagy_queue.ledger.history import HistoryLedger
from tests.integration.ledger.admission_kit import ARN, DONE, Scene


def versions(scene: Scene) -> dict[str, str]:
    """Lease what is there; return the version that each grant brings."""
    return {grant.attempt_id.run_id: grant.flow_version for grant in scene.admission.lease(1000, 60).grants}


def test_the_first_version_that_is_kept_counts(scene: Scene) -> None:
    scene.park("r")
    assert scene.granted() == ["r"]
    assert scene.admission.pin("r", "1") == "1"
    assert scene.admission.pin("r", "2") == "1"
    assert scene.runs.get("r").flow_version == "1"


def test_a_later_attempt_has_the_version_of_the_first(scene: Scene) -> None:
    scene.park("r")
    assert versions(scene) == {"r": ""}
    scene.admission.pin("r", "1")
    scene.admission.launched(AttemptId("r", 1), ARN, flow_version="1", artifact_sha256="ab")
    scene.end("r")
    scene.runs.retry(AttemptId("r", 1), 0)
    assert versions(scene) == {"r": "1"}
    scene.admission.launched(AttemptId("r", 2), ARN, flow_version="2", artifact_sha256="cd")
    entry = scene.runs.get("r")
    assert (entry.flow_version, entry.artifact_sha256) == ("1", "ab")


def test_a_launch_that_is_granted_again_has_the_version_that_was_kept(scene: Scene) -> None:
    scene.park("r")
    scene.granted()
    scene.admission.pin("r", "1")
    scene.admission.give_back(AttemptId("r", 1), called=True)
    assert versions(scene) == {"r": "1"}


def test_all_shards_of_a_batch_have_the_version_of_the_first(scene: Scene) -> None:
    first, second, *_ = scene.batch(4)
    scene.admission.lease(1, 60)
    assert scene.admission.pin(first, "1") == "1"
    assert scene.admission.pin(second, "2") == "1"
    assert set(versions(scene).values()) == {"1"}
    assert {scene.runs.get(run_id).flow_version for run_id in (first, second)} == {"1"}


def test_an_explicit_version_is_known_from_the_launch_on(scene: Scene) -> None:
    first, second = scene.batch(2)
    scene.park("r")
    scene.granted()
    for run_id, version in (("r", "3"), (first, "4")):
        assert scene.runs.get(run_id).flow_version == ""
        scene.admission.launched(AttemptId(run_id, 1), ARN, flow_version=version, artifact_sha256="ab")
    found = HistoryLedger(scene.connection).snapshots(["r", first, second])
    assert [(each.entry.flow_version, each.entry.artifact_sha256) for each in found] == [
        ("3", "ab"),
        ("4", "ab"),
        ("4", "ab"),
    ]


def test_a_container_has_none(scene: Scene) -> None:
    scene.park("r")
    scene.granted()
    scene.admission.launched(AttemptId("r", 1), ARN, 256)
    scene.runs.complete(AttemptId("r", 1), DONE)
    entry = scene.runs.get("r")
    assert (entry.flow_version, entry.artifact_sha256) == ("", "")


def test_a_run_that_the_ledger_forgot_is_not_entered_by_its_version(scene: Scene) -> None:
    assert scene.admission.pin("gone", "1") == "1"
    assert scene.connection.client.keys("*gone*") == []
