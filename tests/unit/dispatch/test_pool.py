from __future__ import annotations

import queue
from typing import Any

import pytest
from celery.exceptions import Reject

from dagy_queue.dispatch import pool
from dagy_queue.dispatch.pool import PassPool

PATIENCE = 10


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(pool, "_PAUSE", 0.0)
    made = PassPool(limit=2)
    yield made
    made.on_stop()


def test_a_pass_that_ends_is_told_once(threads: PassPool) -> None:
    told: queue.Queue[Any] = queue.Queue()
    threads.on_apply(lambda: "done", (), {}, told.put, None, error_callback=told.put)
    assert told.get(timeout=PATIENCE) == "done"
    assert told.empty()


def test_a_pass_whose_end_cannot_be_told_goes_back_to_its_queue(threads: PassPool) -> None:
    told: queue.Queue[Any] = queue.Queue()
    threads.on_apply(lambda: 1 / 0, (), {}, told.put, None, error_callback=told.put)
    rejected = told.get(timeout=PATIENCE).exception.exc
    assert isinstance(rejected, Reject)
    assert rejected.requeue
    assert isinstance(rejected.reason, ZeroDivisionError)
