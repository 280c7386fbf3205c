"""Flows that run inside tasks, or while another flow is made: who is told to stop, and what hooks and tasks see."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from dagy import RunContext, State, flow, task
from dagy.errors import Terminated

WAIT = 20.0


@pytest.fixture
def _sigusr1_terminates() -> Iterator[None]:
    def terminate(*_: object) -> None:
        raise Terminated("stopped")

    before = signal.signal(signal.SIGUSR1, terminate)
    yield
    signal.signal(signal.SIGUSR1, before)


def test_a_stop_that_comes_in_an_inner_run_stops_the_outer_one() -> None:
    done: list[int] = []

    @task
    def one_day(day: int) -> None:
        if day == 1:
            raise Terminated("stopped")
        done.append(day)

    daily = flow(name="daily")(one_day)

    @task
    def all_days() -> None:
        for day in range(4):
            daily.run_local(day=day)

    publish = task(name="publish")(lambda _: done.append(99))
    finished = flow(lambda: publish(all_days())).run_local()
    assert isinstance(finished.error, Terminated)
    assert {name: run.state for name, run in finished.tasks.items()} == {
        "all_days": State.FAILED,
        "publish": State.SKIPPED,
    }
    assert done == [0]


@pytest.mark.usefixtures("_sigusr1_terminates")
def test_a_stop_that_comes_while_an_inner_run_waits_for_its_hooks_stops_the_outer_one() -> None:
    stopped = threading.Event()

    def stops(_context: RunContext, _state: State) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        stopped.wait(WAIT)

    inner = flow(name="inner", on_completion=stops)(task(name="step")(lambda: 1))

    @task
    def outer() -> int:
        return int(inner.run())

    finished = flow(outer).run_local()
    stopped.set()
    assert isinstance(finished.error, Terminated)
    assert finished.tasks["outer"].state is State.FAILED


def test_the_tasks_of_an_inner_run_are_interrupted_with_the_attempt_that_runs_it() -> None:
    interrupted = [threading.Event(), threading.Event()]

    @task
    def endless(number: int) -> None:
        try:
            while True:
                time.sleep(0.01)
        finally:
            interrupted[number].set()

    inner = flow(name="inner", max_workers=2)(lambda: [endless(0), endless(1)])

    @task(timeout_seconds=1)
    def outer() -> None:
        inner.run()

    finished = flow(outer).run_local()
    assert finished.tasks["outer"].state is State.TIMED_OUT
    assert all(event.wait(WAIT) for event in interrupted)


def test_hooks_run_tasks_while_another_flow_is_made() -> None:
    ran: list[str] = []
    note = task(name="note")(ran.append)
    inner = flow(name="inner", on_running=lambda *_: note("running"), on_completion=lambda *_: note("completed"))(
        task(name="step")(lambda: 1)
    )
    last = task(name="last")(lambda value: value)
    finished = flow(lambda: last(inner.run())).run_local()
    assert (finished.result, list(finished.tasks), ran) == (1, ["last"], ["running", "completed"])


@pytest.mark.parametrize("beside", [False, True])
def test_an_error_that_is_no_exception_fails_its_task_alone_or_beside_others(beside: bool) -> None:
    attempts: list[int] = []
    other = task(name="other")(lambda: 1)

    @task(retries=1)
    def cancelled() -> None:
        attempts.append(1)
        raise asyncio.CancelledError

    finished = flow(lambda: [cancelled(), other()] if beside else cancelled()).run_local()
    assert finished.tasks["cancelled"].state is State.FAILED
    assert isinstance(finished.error, asyncio.CancelledError)
    assert len(attempts) == 2


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt])
def test_a_hook_that_raises_what_is_no_exception_silences_no_other(error: type[BaseException]) -> None:
    called = threading.Event()

    def raises(_context: RunContext, _state: State) -> None:
        raise error

    step = task(name="step", on_completion=raises)(lambda: 1)
    finished = flow(name="f", on_completion=lambda *_: called.set())(step).run_local()
    assert finished.state is State.SUCCEEDED
    assert called.is_set()
