from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from celery import states
from celery.exceptions import ChordError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from dagy_queue.errors import RedisUnavailable, RequestInvalid, ResultTimeout, RunCancelled, RunFailed
from dagy_queue.messaging.app import make_app
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.waiting import wait_for
from dagy_queue.settings import load_settings

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


class Waiter:
    """Stores and waits for the result of one task of its own."""

    def __init__(self, publisher: Publisher) -> None:
        self.id = str(uuid.uuid4())
        self.backend = publisher.app.backend
        self._result = publisher.app.AsyncResult(self.id)

    def wait(self, timeout: float | None = 5) -> Any:
        return wait_for(self._result, "run run", timeout)

    def store(self, value: Any, state: str = states.SUCCESS) -> None:
        self.backend.store_result(self.id, value, state)


@pytest.fixture
def run(publisher: Publisher) -> Waiter:
    return Waiter(publisher)


@pytest.mark.parametrize("value", [None, 0, "text", [1, {"a": None}]])
def test_a_result_is_returned(run: Waiter, value: Any) -> None:
    run.store(value)
    assert run.wait() == value


def test_a_result_that_comes_later_is_waited_for(run: Waiter) -> None:
    timer = threading.Timer(0.05, run.store, ("late",))
    timer.start()
    assert run.wait() == "late"
    timer.join()


def test_what_takes_too_long_is_a_result_timeout(run: Waiter) -> None:
    with pytest.raises(ResultTimeout, match="run run"):
        run.wait(0.01)


def test_no_time_at_all_is_no_waiting_without_end(run: Waiter) -> None:
    with pytest.raises(ResultTimeout, match="within 0 seconds"):
        run.wait(0)


def test_a_failed_run_comes_with_its_outcome(run: Waiter) -> None:
    run.store(RunFailed("no luck", {"kind": "failed", "exit_code": 1}), states.FAILURE)
    with pytest.raises(RunFailed, match="no luck") as caught:
        run.wait()
    assert caught.value.outcome == {"kind": "failed", "exit_code": 1}


def test_a_refused_request_is_raised_as_it_was(run: Waiter) -> None:
    run.store(RequestInvalid("no such flow"), states.FAILURE)
    with pytest.raises(RequestInvalid, match="no such flow"):
        run.wait()


def test_a_cancelled_run_is_run_cancelled(run: Waiter) -> None:
    run.backend.mark_as_revoked(run.id, reason="not wanted")
    with pytest.raises(RunCancelled, match="not wanted"):
        run.wait()


def test_a_failed_chord_is_celerys_error(run: Waiter) -> None:
    run.store(ChordError("Dependency x raised"), states.FAILURE)
    with pytest.raises(ChordError):
        run.wait()


@pytest.mark.parametrize("timeout", [None, 5])
def test_a_task_that_failed_with_a_timeout_of_its_own_is_no_result_timeout(run: Waiter, timeout: float | None) -> None:
    run.store(CeleryTimeoutError("The operation timed out."), states.FAILURE)
    with pytest.raises(CeleryTimeoutError):
        run.wait(timeout)


@pytest.mark.parametrize("error", [RedisConnectionError("its own"), OperationalError("its own")])
def test_a_task_that_failed_for_a_redis_of_its_own_does_not_blame_ours(run: Waiter, error: Exception) -> None:
    run.store(error, states.FAILURE)
    with pytest.raises(type(error)):
        run.wait()


def test_a_redis_out_of_reach_is_an_error_of_ours() -> None:
    app = make_app(load_settings(redis={"url": "redis://:secret@127.0.0.1:1/0"}))
    with pytest.raises(RedisUnavailable) as caught:
        wait_for(AsyncResult("run", app=app), "run run", 5)
    assert str(caught.value).startswith("Redis at redis://127.0.0.1:1/0 cannot be reached")
