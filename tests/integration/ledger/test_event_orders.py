"""Whatever happens to a task's events on their way, with the reconciler's look at the end the run ends the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagy_queue.ids import AttemptId, new_id
from dagy_queue.ledger import Phase, RedisConnection, RunStatus
from dagy_queue.ledger.runs import Applied, Observation
from dagy_queue.ledger.sweeps import SweepLedger
from tests.integration.ledger.admission_kit import ARN, POOL, Scene

FAILED = {"outcome": {"kind": "failed", "summary": "exit code 3", "exit_code": 3}, "startedAt": "2026-01-01T00:00:00Z"}
LIFE = (Phase.PROVISIONING, Phase.PENDING, Phase.RUNNING, None, None)
"""What the events of a task tell, by their version; the last ones are of a task on its way down."""


def life_of(attempt_id: AttemptId) -> list[Observation]:
    """Return the events of a task, in order; the last one is its end."""
    on = [
        Observation(attempt_id=attempt_id, version=version, task_arn=ARN, phase=phase)
        for version, phase in enumerate(LIFE, 1)
    ]
    return [*on, Observation(attempt_id=attempt_id, version=len(on) + 1, task_arn=ARN, completion=FAILED)]


deliveries = st.lists(st.integers(0, len(LIFE)), max_size=15)
"""Which events arrive, in which order: some never do, some several times."""


@given(deliveries, st.integers(0, 15), st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_end_is_the_same_for_any_order_duplication_and_loss_of_events(
    connection: RedisConnection, arriving: list[int], noted_after: int, is_noted: bool
) -> None:
    connection.client.flushdb()
    scene, run_id = Scene(connection), new_id()
    scene.park(run_id)
    assert scene.granted() == [run_id]
    attempt_id = AttemptId(run_id, 1)
    life = life_of(attempt_id)
    for number, event in enumerate(arriving):
        if is_noted and number == noted_after:
            scene.admission.launched(attempt_id, ARN)
        scene.runs.apply([life[event]])
    if is_noted and noted_after >= len(arriving):
        scene.admission.launched(attempt_id, ARN)
    # A launch that was never noted is repeated, and ECS answers with the same task.
    if scene.runs.get(run_id).phase is Phase.SUBMITTING:
        scene.admission.launched(attempt_id, ARN)
    tasks, _ = SweepLedger(connection).quiet_tasks(0, 10)
    scene.runs.apply([replace(life[-1], attempt_id=task.attempt_id) for task in tasks])
    assert final_state(scene, connection, run_id) == {
        "phase": Phase.STOPPED,
        "arn": ARN,
        "outcome": FAILED["outcome"],
        "messages": 1,
        "tasks": 0,
        "slots": {0},
    }
    assert scene.runs.apply(life) == [Applied.STALE] * len(life)
    assert scene.runs.finish(attempt_id, RunStatus.FAILED)


def final_state(scene: Scene, connection: RedisConnection, run_id: str) -> dict[str, Any]:
    entry = scene.runs.get(run_id)
    slots: Any = connection.client.hgetall(connection.key("slots", POOL.partition("|")[0]))
    return {
        "phase": entry.phase,
        "arn": entry.task_arn,
        "outcome": (entry.completion or {})["outcome"],
        "messages": connection.client.llen("queue"),
        "tasks": connection.client.zcard(connection.key("tasks")),
        "slots": {int(count) for count in slots.values()},
    }
