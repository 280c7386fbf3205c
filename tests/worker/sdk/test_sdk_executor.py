"""The executor: retries, timeouts, failures, events, memory, termination."""

from __future__ import annotations

import gc
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from dagy import Flow, FlowRun, State, TaskRun, flow, task
from dagy.errors import TaskTimedOut, Terminated
from dagy.executor import default_workers

WAIT = 10


class Recorder:
    """Keeps the events as they come."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def task_started(self, run: TaskRun) -> None:
        self.events.append(("started", run.name, run.attempts))

    def task_succeeded(self, run: TaskRun) -> None:
        self.events.append(("succeeded", run.name))

    def task_failed(self, run: TaskRun) -> None:
        self.events.append(("failed", run.name, run.state.value))

    def task_skipped(self, run: TaskRun) -> None:
        self.events.append(("skipped", run.name))

    def task_retrying(self, run: TaskRun, delay_seconds: float) -> None:
        self.events.append(("retrying", run.name, delay_seconds))


@task
def ok(*_inputs: object) -> str:
    return "ok"


@task
def bad(*_inputs: object) -> None:
    raise ValueError("boom")


def alone(single: Callable[[], object]) -> Flow:
    """Return a flow of one task."""

    @flow
    def body() -> object:
        return single()

    return body


def states(finished: FlowRun) -> dict[str, str]:
    return {name: run.state.value for name, run in finished.tasks.items()}


def test_independent_tasks_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3)
    meet = task(lambda: meeting.wait(WAIT))
    finished = flow(lambda: [meet(), meet(), meet()]).execute({})
    assert sorted(finished.result) == [0, 1, 2]


def test_max_workers_bounds_how_many_run_at_once() -> None:
    lock, running, most = threading.Lock(), 0, 0
    pairs = threading.Barrier(2)

    @task
    def count() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        pairs.wait(WAIT)
        with lock:
            running -= 1

    flow(max_workers=2)(lambda: [count() for _ in range(6)]).run()
    assert most == 2
    assert 5 <= default_workers() <= 32


def test_a_chain_runs_in_the_caller_s_thread() -> None:
    me = task(lambda *_: threading.get_ident())
    assert flow(lambda: me(me(me()))).run() == threading.get_ident()
    assert flow(max_workers=1)(lambda: [me(), me()]).run() == [threading.get_ident()] * 2


def test_a_failed_task_is_retried_after_its_delays_until_it_succeeds() -> None:
    attempts = iter([ValueError("1"), ValueError("2"), None])

    @task(retries=3, retry_delay_seconds=[0.01, 0.02])
    def unsteady() -> str:
        if error := next(attempts):
            raise error
        return "done"

    recorder = Recorder()
    finished = alone(unsteady).execute({}, listener=recorder)
    assert (finished.result, finished.tasks["unsteady"].attempts) == ("done", 3)
    assert finished.tasks["unsteady"].error is None
    assert recorder.events == [
        ("started", "unsteady", 1),
        ("retrying", "unsteady", 0.01),
        ("started", "unsteady", 2),
        ("retrying", "unsteady", 0.02),
        ("started", "unsteady", 3),
        ("succeeded", "unsteady"),
    ]


def test_a_task_that_always_fails_has_one_attempt_more_than_retries() -> None:
    hopeless = task(name="hopeless", retries=2)(bad.function)
    finished = alone(hopeless).execute({})
    assert (finished.state, finished.tasks["hopeless"].attempts) == (State.FAILED, 3)


def test_a_task_that_takes_too_long_is_timed_out_and_interrupted() -> None:
    interrupted = threading.Event()

    @task(timeout_seconds=1)
    def endless() -> None:
        try:
            while True:
                pass
        finally:
            interrupted.set()

    recorder = Recorder()
    finished = flow(lambda: ok(endless())).execute({}, listener=recorder)
    assert states(finished) == {"endless": "TIMED_OUT", "ok": "SKIPPED"}
    assert isinstance(finished.error, TaskTimedOut)
    assert "task 'endless': attempt 1 ran longer than timeout_seconds=1" in str(finished.error)
    assert interrupted.wait(WAIT)
    assert recorder.events[1:] == [("failed", "endless", "TIMED_OUT"), ("skipped", "ok")]


def test_a_timed_out_attempt_is_retried_and_its_late_value_ignored() -> None:
    release, calls = threading.Event(), iter([True, False])

    @task(timeout_seconds=1, retries=1)
    def slow_once() -> str:
        if next(calls):
            release.wait(WAIT)
            return "late"
        release.set()
        return "in time"

    finished = flow(lambda: ok(slow_once())).execute({})
    assert states(finished) == {"slow_once": "SUCCEEDED", "ok": "SUCCEEDED"}
    assert flow(lambda: slow_once).run() is slow_once


def test_with_fail_fast_nothing_new_starts_after_a_failure() -> None:
    release = threading.Event()
    running = task(name="running")(lambda: release.wait(WAIT))
    recorder = Recorder()

    class Releasing(Recorder):
        def task_failed(self, run: TaskRun) -> None:
            super().task_failed(run)
            release.set()

    recorder = Releasing()
    finished = flow(max_workers=2)(lambda: [running(), bad(), ok(running()), ok()]).execute({}, listener=recorder)
    assert states(finished) == {
        "running": "SUCCEEDED",
        "bad": "FAILED",
        "running-2": "SKIPPED",
        "ok": "SKIPPED",
        "ok-2": "SKIPPED",
    }
    assert finished.tasks["ok"].attempts == 0


def test_with_fail_fast_a_task_waiting_for_its_retry_gives_up() -> None:
    retried = task(name="retried", retries=5, retry_delay_seconds=1000)(bad.function)
    waiting = threading.Event()
    fail_later = task(name="fail_later")(lambda: waiting.wait(WAIT) and 1 / 0)

    class Watching(Recorder):
        def task_retrying(self, run: TaskRun, delay_seconds: float) -> None:
            super().task_retrying(run, delay_seconds)
            waiting.set()

    finished = flow(lambda: [retried(), fail_later()]).execute({}, listener=Watching())
    assert states(finished) == {"retried": "FAILED", "fail_later": "FAILED"}
    assert finished.failed_task == "fail_later"


def test_without_fail_fast_only_what_waits_for_the_failure_is_skipped() -> None:
    @flow(fail_fast=False)
    def branches() -> object:
        return [ok(ok(bad())), ok(ok())]

    finished = branches.execute({})
    assert finished.state is State.FAILED
    assert states(finished) == {
        "bad": "FAILED",
        "ok": "SKIPPED",
        "ok-2": "SKIPPED",
        "ok-3": "SUCCEEDED",
        "ok-4": "SUCCEEDED",
    }


def test_the_traceback_begins_in_the_user_s_code() -> None:
    finished = alone(bad).execute({})
    assert finished.error is not None
    frames = traceback.extract_tb(finished.error.__traceback__)
    assert [frame.name for frame in frames] == ["bad"]


def test_sys_exit_in_a_task_is_a_failure_of_the_task() -> None:
    leave = task(lambda: exit(3))  # noqa: PLR1722 - as a user might
    finished = flow(lambda: [leave(), ok()]).execute({})
    assert isinstance(finished.error, SystemExit)


def test_times_and_attempts_are_kept() -> None:
    run = alone(ok).execute({}).tasks["ok"]
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.attempts == 1
    assert run.seconds >= 0
    assert TaskRun(name="x", state=State.SKIPPED).seconds == 0


def test_a_value_is_let_go_when_nobody_will_read_it_again() -> None:
    class Large:
        pass

    made: list[weakref.ref[Large]] = []

    @task
    def make(*_: object) -> Large:
        large = Large()
        made.append(weakref.ref(large))
        return large

    @task
    def alive(_: object) -> list[bool]:
        gc.collect()
        return [reference() is not None for reference in made]

    assert flow(lambda: alive(make(make()))).run() == [False, True]


def test_terminated_ends_the_run_as_failed_and_interrupts_threads() -> None:
    started, interrupted = threading.Barrier(2), threading.Event()

    @task
    def busy() -> None:
        try:
            started.wait(WAIT)
            while True:
                pass
        finally:
            interrupted.set()

    class Stopping(Recorder):
        def task_succeeded(self, run: TaskRun) -> None:
            super().task_succeeded(run)
            started.wait(WAIT)
            raise Terminated("stop")

    recorder = Stopping()
    finished = flow(lambda: ok(busy(), ok())).execute({}, listener=recorder)
    assert isinstance(finished.error, Terminated)
    assert interrupted.wait(WAIT)
    assert states(finished) == {"busy": "FAILED", "ok": "SUCCEEDED", "ok-2": "SKIPPED"}


def test_terminated_inside_a_lone_task_runs_its_finally_and_skips_the_rest() -> None:
    cleaned = []

    def stop() -> None:
        raise Terminated("stop")

    @task
    def lone() -> None:
        try:
            stop()
        except Exception:  # noqa: BLE001 - what a careless task would write
            cleaned.append("swallowed")
        finally:
            cleaned.append("finally")

    finished = flow(lambda: ok(lone())).execute({})
    assert cleaned == ["finally"]
    assert states(finished) == {"lone": "FAILED", "ok": "SKIPPED"}


def test_keyboard_interrupt_is_not_a_task_s_failure() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        alone(task(interrupt)).run()


def test_an_index_missing_from_the_result_fails_the_flow() -> None:
    finished = flow(lambda: ok()["missing"]).execute({})  # type: ignore[index]
    assert (finished.state, finished.failed_task) == (State.FAILED, "")
    assert isinstance(finished.error, TypeError)


def test_an_error_whose_message_cannot_be_had_is_its_task_s_alone() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @task
    def bad() -> None:
        raise Silent

    @task
    def good() -> int:
        return 1

    run = flow(fail_fast=False)(lambda: [bad(), good()]).run_local()
    assert {name: each.state.value for name, each in run.tasks.items()} == {"bad": "FAILED", "good": "SUCCEEDED"}
    assert (type(run.error), run.failed_task) == (Silent, "bad")
