"""Runs that a stopping dispatcher gives back: at once, first in their lane, and right whatever happened meanwhile."""

from __future__ import annotations

import pytest

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Phase, RedisConnection
from dagy_queue.ledger.admission import Released
from dagy_queue.ledger.runs import Cancelled
from tests.integration.ledger.admission_kit import ARN, DONE, Scene


def give_back(scene: Scene, run_id: str, *, called: bool = False) -> Released:
    return scene.admission.give_back(AttemptId(run_id, 1), called=called)


def test_a_run_that_is_given_back_is_granted_again_at_once_and_first(scene: Scene) -> None:
    scene.park("first", "second")
    assert scene.granted(1) == ["first"]
    assert give_back(scene, "first") is Released.HELD
    entry = scene.runs.get("first")
    assert (entry.phase, entry.attempt, entry.refusal) == (Phase.HELD, 1, "")
    assert scene.granted(1) == ["first"]


@pytest.mark.parametrize("called", [True, False])
def test_its_slot_is_free_again(scene: Scene, called: bool) -> None:
    scene.park("run", "other")
    assert scene.granted(1, tasks=1) == ["run"]
    assert scene.granted(1, tasks=1) == []
    give_back(scene, "run", called=called)
    assert scene.granted(2, tasks=1) == ["run"]


@pytest.mark.parametrize("called", [True, False])
def test_a_run_that_has_its_task_is_left_alone(scene: Scene, called: bool) -> None:
    scene.park("run")
    scene.granted()
    scene.admission.launched(AttemptId("run", 1), ARN)
    assert give_back(scene, "run", called=called) is Released.STALE
    assert scene.runs.get("run").phase is Phase.SUBMITTED


def test_a_run_that_was_cancelled_meanwhile_is_to_be_ended(scene: Scene) -> None:
    scene.park("run")
    scene.granted()
    assert scene.runs.cancel("run", "no", DONE)[0] is Cancelled.SUBMITTING
    assert give_back(scene, "run") is Released.CANCELLED
    assert scene.runs.get("run").phase is Phase.SUBMITTING


def test_a_cancelled_run_whose_call_is_under_way_ends_and_its_task_is_looked_for(
    scene: Scene, connection: RedisConnection
) -> None:
    scene.park("run")
    scene.granted()
    scene.runs.cancel("run", "no", DONE)
    assert give_back(scene, "run", called=True) is Released.HELD
    assert scene.granted() == []
    assert scene.runs.get("run").phase is Phase.STOPPED
    assert connection.client.zrange(connection.key("searches"), 0, -1) == ["run/1"]


def test_the_answer_that_comes_after_all_counts(scene: Scene) -> None:
    scene.park("run")
    scene.granted()
    give_back(scene, "run", called=True)
    scene.admission.launched(AttemptId("run", 1), ARN)
    assert scene.runs.get("run").phase is Phase.SUBMITTED
    assert scene.granted() == []
