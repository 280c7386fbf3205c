"""Two hundred tasks in a diamond mesh: each row waits for two of the row above, and the last task for all."""

from __future__ import annotations

import threading
from collections import Counter

from dagy import State, flow, task

ROWS, WIDTH = 19, 10
WORKERS = 8


def test_a_mesh_of_two_hundred_tasks_runs_right_in_parallel() -> None:
    lock, started, running, most = threading.Lock(), Counter[tuple[int, int]](), 0, 0
    full_house = threading.Barrier(WORKERS)

    @task
    def source() -> int:
        return 1

    @task
    def cell(row: int, column: int, left: int, right: int) -> int:
        nonlocal running, most
        with lock:
            started[row, column] += 1
            running += 1
            most = max(most, running)
        if row == 0 and column < WORKERS:
            full_house.wait(30)  # ends only if all of them run at the same time
        with lock:
            running -= 1
        return left + right

    @task
    def add_up(row: list[int]) -> int:
        return sum(row)

    @flow(max_workers=WORKERS)
    def mesh() -> object:
        row = [source() for _ in range(WIDTH)]
        for number in range(ROWS):
            row = [cell(number, i, row[i], row[(i + 1) % WIDTH]) for i in range(WIDTH)]
        return add_up(row)

    finished = mesh.execute({})
    assert finished.result == WIDTH * 2**ROWS
    assert len(finished.tasks) == 1 + WIDTH * (ROWS + 1)
    assert {run.state for run in finished.tasks.values()} == {State.SUCCEEDED}
    assert set(started.values()) == {1}
    assert len(started) == ROWS * WIDTH
    assert most == WORKERS


def test_a_failure_in_the_mesh_skips_what_it_reaches_and_nothing_else() -> None:
    @task
    def cell(row: int, column: int, *_: object) -> None:
        if (row, column) == (5, 5):
            raise ValueError("a stone in the mesh")

    @flow(fail_fast=False, max_workers=WORKERS)
    def mesh() -> None:
        row: list[object] = [cell(0, i) for i in range(WIDTH)]
        for number in range(1, 20):
            row = [cell(number, i, row[i], row[(i + 1) % WIDTH]) for i in range(WIDTH)]

    states = [run.state for run in mesh.execute({}).tasks.values()]
    reached = {(5 + down, (5 - left) % WIDTH) for down in range(15) for left in range(min(down, WIDTH - 1) + 1)}
    for index, state in enumerate(states):
        place = divmod(index, WIDTH)
        expected = State.SKIPPED if place in reached else State.SUCCEEDED
        assert state is (State.FAILED if place == (5, 5) else expected)
