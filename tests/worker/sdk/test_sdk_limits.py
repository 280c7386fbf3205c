"""Concurrency limits, and time: what runs beside what, and what a task that runs too long may not do."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from dagy import State, flow, task
from dagy.graph import Graph
from dagy.ready import ReadyTasks

WAIT = 10


def test_a_limit_bounds_the_tasks_of_its_name_and_no_others() -> None:
    lock, running, most = threading.Lock(), Counter[str](), Counter[str]()
    pair, crowd = threading.Barrier(2), threading.Barrier(4)

    def enter(name: str) -> None:
        with lock:
            running[name] += 1
            most[name] = max(most[name], running[name])

    @task(concurrency_limit=2)
    def limited(_: int) -> None:
        enter("limited")
        pair.wait(WAIT)
        with lock:
            running["limited"] -= 1

    @task
    def free(_: int) -> None:
        enter("free")
        crowd.wait(WAIT)

    flow(max_workers=6)(lambda: [*(limited(n) for n in range(8)), *(free(n) for n in range(4))]).run()
    assert most == {"limited": 2, "free": 4}


def test_a_limit_holds_over_retries_and_gives_its_slot_back_while_one_waits() -> None:
    other_ran = threading.Event()
    attempts = Counter[str]()

    @task(concurrency_limit=1, retries=1, retry_delay_seconds=0.01)
    def one_at_a_time(name: str) -> str:
        attempts[name] += 1
        if name == "first" and attempts[name] == 1:
            raise ValueError(name)
        if name == "second":
            other_ran.set()
        return name

    assert flow(lambda: [one_at_a_time("first"), one_at_a_time("second")]).run() == ["first", "second"]
    assert other_ran.is_set()
    assert attempts == {"first": 2, "second": 1}


def test_a_task_that_ran_out_of_time_gives_its_slot_back() -> None:
    release = threading.Event()

    @task(concurrency_limit=1, timeout_seconds=1)
    def maybe_stuck(stuck: bool) -> None:
        if stuck:
            release.wait(WAIT)

    finished = flow(fail_fast=False)(lambda: [maybe_stuck(True), maybe_stuck(False)]).execute({})
    release.set()
    assert [run.state for run in finished.tasks.values()] == [State.TIMED_OUT, State.SUCCEEDED]


def test_ten_thousand_tasks_under_a_limit_of_one_are_taken_in_turn() -> None:
    graph = Graph("f")
    limited = task(name="limited", concurrency_limit=1)(lambda: None)
    for _ in range(10_000):
        graph.add(limited, (), {})
    ready = ReadyTasks(graph.nodes)
    for name in graph.nodes:
        ready.add(name)
    taken = []
    while (name := ready.take()) is not None:
        assert ready.take() is None
        ready.give_back(name)
        taken.append(name)
    assert taken == list(graph.nodes)


def test_a_late_value_of_a_task_that_ran_out_of_time_goes_nowhere() -> None:
    release, left = threading.Event(), threading.Event()

    @task(timeout_seconds=1)
    def late() -> str:
        try:
            # Waiting in short turns, so that the interruption has an instruction to come before.
            while not release.wait(0.01):
                pass
            return "late"
        finally:
            left.set()

    finished = flow(fail_fast=False)(late).execute({})
    release.set()
    assert left.wait(WAIT)
    assert finished.tasks["late"].state is State.TIMED_OUT
    assert finished.result is None


def test_tasks_of_runs_at_the_same_time_keep_apart() -> None:
    from dagy import RunContext

    both = threading.Barrier(2)

    @task
    def where() -> tuple[str, int]:
        both.wait(WAIT)
        context = RunContext.current()
        return context.run_id, context.parameters["n"]

    @flow
    def one(n: int) -> object:
        return where()

    results: dict[int, tuple[str, int]] = {}
    threads = [threading.Thread(target=lambda n=n: results.update({n: one.run(n=n)})) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert {n: seen for n, (_, seen) in results.items()} == {1: 1, 2: 2}
    assert len({run_id for run_id, _ in results.values()}) == 2


@pytest.mark.parametrize("fail_fast", [True, False])
def test_a_retry_that_is_due_while_all_workers_are_busy_is_not_lost(fail_fast: bool) -> None:
    failed_once, retried = threading.Event(), threading.Event()

    @task(retries=1)
    def unsteady() -> str:
        if not failed_once.is_set():
            failed_once.set()
            raise ValueError("once")
        retried.set()
        return "steady"

    @task
    def busy() -> None:
        assert failed_once.wait(WAIT)

    @task
    def broken(_: object) -> None:
        raise KeyError("broken")

    @flow(max_workers=2, fail_fast=fail_fast)
    def crowded() -> object:
        first = unsteady()
        return [first, broken(busy()), busy(), busy()]

    finished = crowded.execute({})
    assert State.RUNNING not in {run.state for run in finished.tasks.values()}
    if not fail_fast:
        assert finished.tasks["unsteady"].state is State.SUCCEEDED
        assert retried.is_set()
