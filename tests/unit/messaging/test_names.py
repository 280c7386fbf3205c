from __future__ import annotations

from celery import states

from dagy_queue.messaging import names
from dagy_queue.messaging.states import PARKED_STATE


def test_names_of_tasks_are_all_different() -> None:
    tasks = (names.LAUNCH_TASK, names.FAN_OUT_TASK, names.END_BATCH_TASK, names.CANCEL_BATCH_TASK)
    assert len(set(tasks)) == len(tasks)


def test_the_state_of_a_parked_run_is_none_of_celerys() -> None:
    assert PARKED_STATE not in states.ALL_STATES
