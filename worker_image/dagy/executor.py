"""Running a plan in this process: what may start, what failed, what to do about it. Flows call :func:`execute`.

One thread, the caller's, takes every decision; attempts run beside it (see ``dagy.attempts``) and only report
their ends. A task that is alone (a chain, say) runs in the caller's thread itself, where a SIGTERM or Ctrl-C reaches
it directly.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from dagy.attempts import Attempt, Attempts, Ended, interrupt
from dagy.context import RunContext
from dagy.errors import ArgumentError, TaskTimedOut, Terminated
from dagy.events import Listener
from dagy.flow_options import FlowOptions
from dagy.graph import Node, Plan
from dagy.hooks import Hook, HookQueue, agrees, call_hooks
from dagy.ready import ReadyTasks
from dagy.states import FlowRun, State, StateType, TaskRun, completed, failed, running
from dagy.values import Values

TERMINATION_GRACE_SECONDS = 0.5
"""How long tasks get for their ``finally`` blocks when the run is terminated."""


def default_workers() -> int:
    """Return how many tasks run at once unless the flow says otherwise."""
    return min(32, (os.cpu_count() or 1) + 4)


def execute(plan: Plan, *, context: RunContext, listener: Listener, hooks: HookQueue, options: FlowOptions) -> FlowRun:
    """Run every task of a plan after those it waits for. Task errors are in the FlowRun, never raised.

    With ``fail_fast`` nothing new starts after a failure, not even a retry; without, only what waits for the failed
    task is skipped. Terminated (SIGTERM) ends the run as FAILED with that error.
    """
    return _Execution(plan, context, listener, hooks, options).run()


class _Execution:
    def __init__(
        self, plan: Plan, context: RunContext, listener: Listener, hooks: HookQueue, options: FlowOptions
    ) -> None:
        self._nodes = plan.graph.nodes
        self._downstream = plan.graph.downstream()
        self._waits_for = {name: len(node.upstream) for name, node in self._nodes.items()}
        self._values = Values(plan)
        self._context = context
        self._listener = listener
        self._hooks = hooks
        self._fail_fast = options.fail_fast
        self._max_workers = options.max_workers or default_workers()
        self._attempts = Attempts()
        self._ready = ReadyTasks(self._nodes)
        self._retry_at: dict[str, float] = {}
        self._running: dict[str, Attempt] = {}
        self._runs: dict[str, TaskRun] = {}
        self._error: BaseException | None = None

    def run(self) -> FlowRun:
        for name, count in self._waits_for.items():
            if count == 0:
                self._ready.add(name)
        try:
            while self._ready or self._running or self._retry_at:
                self._start_ready()
                ended = self._attempts.next_end(self._seconds_to_next_timer())
                if ended is not None:
                    self._take(ended)
                self._fire_timers()
        except Terminated as exc:
            self._terminate(exc)
        except BaseException:
            interrupt(self._running.values())
            raise
        return self._finish()

    def _start_ready(self) -> None:
        while len(self._running) < self._max_workers and (name := self._ready.take()) is not None:
            self._start(name)

    def _start(self, name: str) -> None:
        node, before = self._nodes[name], self._runs.get(name)
        timeout = node.task.options.timeout_seconds
        run = before or TaskRun(name=name, state=State.RUNNING, started_at=_now())
        run = self._runs[name] = replace(run, attempts=run.attempts + 1)
        self._listener.task_started(run)
        alone = timeout is None and not self._running and not self._retry_at
        alone = alone and (not self._ready or self._max_workers == 1)
        attempt = Attempt(name, run.attempts, None if timeout is None else monotonic() + timeout)
        self._running[name] = attempt
        (self._attempts.perform if alone else self._attempts.start)(attempt, lambda: self._perform(node, run))

    def _perform(self, node: Node, run: TaskRun) -> Any:
        """Do the work of an attempt. The one method that runs in the attempts' threads."""
        options, context = node.task.options, self._context.of_task(run.name, run.attempts)
        if run.error is not None:
            call_hooks(options.on_retry, context, _failed(run.error))
        call_hooks(options.on_running, context, running())
        return self._values.call(node)

    def _take(self, ended: Ended) -> None:
        name = ended.attempt.name
        if self._running.get(name) is not ended.attempt:
            return  # it was given up when its time ran out
        self._stop_running(name)
        if ended.error is not None:
            self._fail(name, ended.error)
        else:
            self._succeed(name, ended.value)

    def _stop_running(self, name: str) -> None:
        del self._running[name]
        self._ready.give_back(name)

    def _succeed(self, name: str, value: Any) -> None:
        self._values.put(name, value)
        self._listener.task_succeeded(self._settle(name, State.SUCCEEDED))
        self._post(self._nodes[name].task.options.on_completion, name, completed())
        for below in self._downstream[name]:
            self._waits_for[below] -= 1
            if self._waits_for[below] == 0 and below not in self._runs:
                self._ready.add(below)

    def _fail(self, name: str, error: BaseException) -> None:
        run = self._runs[name] = replace(self._runs[name], error=error)
        if self._is_tried_again(name, run, error):
            delay = self._nodes[name].task.options.delay_before_retry(run.attempts)
            self._retry_at[name] = monotonic() + delay
            self._listener.task_retrying(run, delay)
            return
        self._error = self._error or error
        self._give_up(name)
        if self._fail_fast:
            self._stop_starting()
        else:
            self._skip(self._all_downstream(name))

    def _is_tried_again(self, name: str, run: TaskRun, error: BaseException) -> bool:
        options = self._nodes[name].task.options
        stopping = self._fail_fast and self._error is not None
        if run.attempts > options.retries or stopping or isinstance(error, ArgumentError):
            return False
        return options.retry_condition_fn is None or agrees(options.retry_condition_fn, error, name)

    def _give_up(self, name: str) -> None:
        """Settle a task that will not be tried again, with the error of its last attempt."""
        state = _failed(self._runs[name].error)
        plain = State.TIMED_OUT if state.type is StateType.TIMED_OUT else State.FAILED
        self._listener.task_failed(self._settle(name, plain))
        self._post(self._nodes[name].task.options.on_failure, name, state)

    def _stop_starting(self) -> None:
        """Let what is running end, and nothing else start, not even a retry."""
        waiting = [n for n, run in self._runs.items() if run.state is State.RUNNING and n not in self._running]
        for name in waiting:
            self._give_up(name)
        self._retry_at.clear()
        self._skip(self._nodes)
        self._ready.clear()

    def _skip(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._runs:
                self._listener.task_skipped(self._settle(name, State.SKIPPED))

    def _all_downstream(self, name: str) -> list[str]:
        found = dict.fromkeys(self._downstream[name])
        unseen = deque(found)
        while unseen:
            for below in self._downstream[unseen.popleft()]:
                if below not in found:
                    found[below] = None
                    unseen.append(below)
        return list(found)

    def _settle(self, name: str, state: State) -> TaskRun:
        run = self._runs.get(name) or TaskRun(name=name, state=state)
        error = run.error if state.is_failure else None
        self._runs[name] = replace(run, state=state, error=error, finished_at=_now() if run.attempts else None)
        self._values.release_inputs(self._nodes[name])
        return self._runs[name]

    def _post(self, hooks: tuple[Hook, ...], name: str, state: State) -> None:
        self._hooks.post(hooks, self._context.of_task(name, self._runs[name].attempts), state)

    def _seconds_to_next_timer(self) -> float | None:
        times = [*self._retry_at.values(), *(a.deadline for a in self._running.values() if a.deadline is not None)]
        return max(0.0, min(times) - monotonic()) if times else None

    def _fire_timers(self) -> None:
        now = monotonic()
        for attempt in [a for a in self._running.values() if a.deadline is not None and a.deadline <= now]:
            self._stop_running(attempt.name)
            interrupt([attempt])
            seconds = self._nodes[attempt.name].task.options.timeout_seconds
            message = f"task {attempt.name!r}: attempt {attempt.number} ran longer than timeout_seconds={seconds}"
            self._fail(attempt.name, TaskTimedOut(message))
        for name in [name for name, due in self._retry_at.items() if due <= now]:
            del self._retry_at[name]
            self._ready.add(name)

    def _terminate(self, exc: Terminated) -> None:
        interrupt(self._running.values(), grace_seconds=TERMINATION_GRACE_SECONDS)
        self._error = exc
        for name in [name for name, run in self._runs.items() if run.state is State.RUNNING]:
            self._runs[name] = replace(self._runs[name], error=exc)
            self._give_up(name)
        self._skip(self._nodes)

    def _finish(self) -> FlowRun:
        tasks = {name: self._runs[name] for name in self._nodes}
        if self._error is None:
            try:
                return FlowRun(state=State.SUCCEEDED, result=self._values.result(), tasks=tasks)
            except Exception as exc:  # noqa: BLE001 - indexing an output runs the value's own code
                self._error = exc
        return FlowRun(state=State.FAILED, tasks=tasks, error=self._error)


def _failed(error: BaseException | None) -> State:
    timed_out = isinstance(error, TaskTimedOut)
    return failed(error=error, type=StateType.TIMED_OUT if timed_out else StateType.FAILED)


def _now() -> datetime:
    return datetime.now(UTC)
