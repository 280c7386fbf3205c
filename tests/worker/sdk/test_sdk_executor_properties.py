"""Whatever the graph, whatever fails and how often: order, skips, attempts and limits are as they should be."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from threading import Lock

from hypothesis import given, settings
from hypothesis import strategies as st

from dagy import FlowRun, State, TaskRun, flow, task

HOPELESS = 99
"""More failures than any task has attempts."""


@dataclass(frozen=True)
class Shape:
    """A graph: for each task the earlier tasks that it waits for, how often it fails, and its retries and limit."""

    upstream: list[set[int]]
    failures: list[int]
    retries: list[int]
    kinds: list[int]
    limits: tuple[int | None, ...]

    def fails(self, index: int) -> bool:
        """Whether a task fails for good, if nothing keeps it from its attempts."""
        return self.failures[index] > self.retries[index]

    def doomed(self) -> set[int]:
        """Tasks with a failure somewhere above them."""
        found: set[int] = set()
        for index, above in enumerate(self.upstream):
            if above & found or any(self.fails(i) for i in above):
                found.add(index)
        return found


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    size = draw(st.integers(1, 12))
    per_task = {"min_size": size, "max_size": size}
    return Shape(
        upstream=[draw(st.sets(st.integers(0, i - 1), max_size=4)) if i else set() for i in range(size)],
        failures=draw(st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, HOPELESS]), **per_task)),
        retries=draw(st.lists(st.integers(0, 2), **per_task)),
        kinds=draw(st.lists(st.integers(0, 1), **per_task)),
        limits=draw(st.tuples(*[st.sampled_from([None, 1, 2])] * 2)),
    )


class Run:
    """One run of a shape, and what its tasks saw: who started when, and how many at once."""

    def __init__(self, shape: Shape, *, fail_fast: bool, max_workers: int) -> None:
        self._lock = Lock()
        self._shape = shape
        self._now: Counter[int] = Counter()
        self.most: Counter[int] = Counter()
        self.most_at_all = 0
        self.started: list[int] = []
        self.ended: set[int] = set()
        self.started_too_early: set[int] = set()
        # Tasks of one kind have one name, and so one limit; each has the retries of its own.
        steps = [
            task(name=f"kind-{kind}", retries=retries, concurrency_limit=shape.limits[kind])(self._step)
            for kind, retries in zip(shape.kinds, shape.retries, strict=True)
        ]

        def body() -> object:
            outputs: list[object] = []
            for index, above in enumerate(shape.upstream):
                outputs.append(steps[index](index, [outputs[i] for i in sorted(above)]))
            return outputs

        self.flow_run: FlowRun = flow(name="f", fail_fast=fail_fast, max_workers=max_workers)(body).execute({})
        self.task_runs = list(self.flow_run.tasks.values())
        self.attempts = Counter(self.started)

    def _step(self, index: int, inputs: list[object]) -> int:
        with self._lock:
            kind = self._shape.kinds[index]
            self.started.append(index)
            self._now[kind] += 1
            self.most[kind] = max(self.most[kind], self._now[kind])
            self.most_at_all = max(self.most_at_all, self._now.total())
            above = self._shape.upstream[index]
            if inputs != sorted(above) or not above <= self.ended:
                self.started_too_early.add(index)
            fails = self.started.count(index) <= self._shape.failures[index]
        try:
            if fails:
                raise ValueError(index)
            return index
        finally:
            with self._lock:
                self._now[kind] -= 1
                if not fails:
                    self.ended.add(index)

    def check_order_and_limits(self, workers: int) -> None:
        assert not self.started_too_early
        assert self.most_at_all <= workers
        for kind, limit in enumerate(self._shape.limits):
            assert limit is None or self.most[kind] <= limit
        for index, run in enumerate(self.task_runs):
            assert run.attempts == self.attempts[index]
            assert run.attempts <= self._shape.retries[index] + 1
            assert run.state is not State.RUNNING


@settings(max_examples=100, deadline=None)
@given(shapes(), st.integers(1, 4))
def test_without_fail_fast_exactly_the_tasks_below_a_failure_are_skipped(shape: Shape, workers: int) -> None:
    run = Run(shape, fail_fast=False, max_workers=workers)
    run.check_order_and_limits(workers)
    doomed = shape.doomed()
    for index, task_run in enumerate(run.task_runs):
        if index in doomed:
            assert (task_run.state, task_run.attempts) == (State.SKIPPED, 0)
        elif shape.fails(index):
            assert (task_run.state, task_run.attempts) == (State.FAILED, shape.retries[index] + 1)
        else:
            assert (task_run.state, task_run.attempts) == (State.SUCCEEDED, shape.failures[index] + 1)
    assert run.flow_run.state == ("FAILED" if any(map(shape.fails, range(len(shape.upstream)))) else "SUCCEEDED")


@settings(max_examples=100, deadline=None)
@given(shapes(), st.integers(1, 4))
def test_with_fail_fast_started_tasks_end_and_all_others_are_skipped(shape: Shape, workers: int) -> None:
    run = Run(shape, fail_fast=True, max_workers=workers)
    run.check_order_and_limits(workers)
    for index, task_run in enumerate(run.task_runs):
        if not run.attempts[index]:
            assert task_run.state is State.SKIPPED
        elif index in run.ended:
            assert (task_run.state, task_run.attempts) == (State.SUCCEEDED, shape.failures[index] + 1)
        else:  # its last attempt failed, or another task's failure kept it from the next one
            assert task_run.state is State.FAILED
    failing = any(map(shape.fails, range(len(shape.upstream))))
    assert run.flow_run.state is (State.FAILED if failing else State.SUCCEEDED)
    if not failing:
        assert run.flow_run.result == list(range(len(shape.upstream)))


class Stories:
    """A listener that notes what it is told of each task."""

    def __init__(self) -> None:
        self.of: defaultdict[str, list[str]] = defaultdict(list)

    def task_started(self, run: TaskRun) -> None:
        self.of[run.name].append("started")

    def task_succeeded(self, run: TaskRun) -> None:
        self.of[run.name].append("SUCCEEDED")

    def task_failed(self, run: TaskRun) -> None:
        self.of[run.name].append("FAILED")

    def task_skipped(self, run: TaskRun) -> None:
        self.of[run.name].append("SKIPPED")

    def task_retrying(self, run: TaskRun, _delay_seconds: float) -> None:
        self.of[run.name].append("retrying")


@settings(max_examples=30, deadline=None)
@given(shapes(), st.integers(1, 4))
def test_a_run_tells_the_same_story_to_its_listener(shape: Shape, workers: int) -> None:
    stories = Stories()

    def step(index: int, _inputs: list[object]) -> None:
        if shape.fails(index):
            raise ValueError(index)

    steps = [task(name=f"t{index}", retries=retries)(step) for index, retries in enumerate(shape.retries)]

    def body() -> None:
        outputs: list[object] = []
        for index, above in enumerate(shape.upstream):
            outputs.append(steps[index](index, [outputs[i] for i in sorted(above)]))

    finished = flow(name="told", max_workers=workers)(body).execute({}, listener=stories)
    for name, run in finished.tasks.items():
        attempts = ["started", "retrying"] * run.attempts
        assert stories.of[name][-1] == run.state.value
        assert stories.of[name][:-1] in (attempts, attempts[:-1])
