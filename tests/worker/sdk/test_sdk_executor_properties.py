"""Whatever the graph and whatever fails: order is respected, and exactly the right tasks are skipped."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from hypothesis import given, settings
from hypothesis import strategies as st

from dagy import FlowRun, State, flow, task


@dataclass(frozen=True)
class Shape:
    """A graph: for each task the earlier tasks that it waits for; and which tasks fail."""

    upstream: list[set[int]]
    failing: set[int]

    def doomed(self) -> set[int]:
        """Tasks with a failure somewhere above them."""
        found: set[int] = set()
        for index, above in enumerate(self.upstream):
            if above & (found | self.failing):
                found.add(index)
        return found


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    size = draw(st.integers(1, 12))
    upstream = [draw(st.sets(st.integers(0, i - 1), max_size=4)) if i else set() for i in range(size)]
    return Shape(upstream, draw(st.sets(st.integers(0, size - 1), max_size=3)))


class Run:
    """One run of a shape, and the order in which its tasks started and ended."""

    def __init__(self, shape: Shape, *, fail_fast: bool, max_workers: int) -> None:
        self._lock = Lock()
        self.started: list[int] = []
        self.ended: list[int] = []
        self.started_too_early: set[int] = set()
        step = task(name="t")(lambda index, inputs: self._step(shape, index, inputs))

        def body() -> object:
            outputs: list[object] = []
            for index, above in enumerate(shape.upstream):
                outputs.append(step(index, [outputs[i] for i in sorted(above)]))
            return outputs

        self.flow_run: FlowRun = flow(name="f", fail_fast=fail_fast, max_workers=max_workers)(body).execute({})
        self.states = [run.state for run in self.flow_run.tasks.values()]

    def _step(self, shape: Shape, index: int, inputs: list[int]) -> int:
        with self._lock:
            self.started.append(index)
            if inputs != sorted(shape.upstream[index]) or not shape.upstream[index] <= set(self.ended):
                self.started_too_early.add(index)
        if index in shape.failing:
            raise ValueError(index)
        with self._lock:
            self.ended.append(index)
        return index


@settings(max_examples=60, deadline=None)
@given(shapes(), st.integers(1, 4))
def test_without_fail_fast_exactly_the_tasks_below_a_failure_are_skipped(shape: Shape, workers: int) -> None:
    run = Run(shape, fail_fast=False, max_workers=workers)
    doomed = shape.doomed()
    for index, state in enumerate(run.states):
        own = State.FAILED if index in shape.failing else State.SUCCEEDED
        assert state is (State.SKIPPED if index in doomed else own)
    assert not run.started_too_early
    assert sorted(run.started) == sorted(set(range(len(shape.upstream))) - doomed)


@settings(max_examples=60, deadline=None)
@given(shapes(), st.integers(1, 4))
def test_with_fail_fast_started_tasks_end_and_all_others_are_skipped(shape: Shape, workers: int) -> None:
    run = Run(shape, fail_fast=True, max_workers=workers)
    assert not run.started_too_early
    for index, state in enumerate(run.states):
        own = State.FAILED if index in shape.failing else State.SUCCEEDED
        assert state is (own if index in run.started else State.SKIPPED)
    assert run.flow_run.state is (State.FAILED if State.FAILED in run.states else State.SUCCEEDED)
    if not shape.failing:
        assert run.flow_run.result == list(range(len(shape.upstream)))
