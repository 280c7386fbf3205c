"""Hooks of tasks and flows: when they are called, with what, and that they harm nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from dagy import DAG, Hook, RunContext, State, StateType, completed, failed, flow, hooks, running, task
from dagy.context import current_task
from dagy.errors import TaskTimedOut, Terminated

WAIT = 10
Call = tuple[str, str, int, str]


class Calls:
    """Notes which hook was called, for what, with which state."""

    def __init__(self) -> None:
        self.notes: list[Call] = []
        self.contexts: list[RunContext] = []
        self.states: list[State] = []

    def hook(self, kind: str) -> Hook:
        def called(context: RunContext, state: State) -> None:
            self.notes.append((kind, context.name, context.attempt, state.value))
            self.contexts.append(context)
            self.states.append(state)

        return called

    def all(self, *kinds: str) -> dict[str, Hook]:
        return {f"on_{kind}": self.hook(kind) for kind in kinds or ("running", "completion", "failure", "retry")}


@pytest.fixture
def calls() -> Calls:
    return Calls()


def failing(times: int) -> Callable[[int], int]:
    errors = iter([ValueError(f"boom {n + 1}") for n in range(times)])

    def unsteady(value: int) -> int:
        if (error := next(errors, None)) is not None:
            raise error
        return value

    return unsteady


def test_hooks_of_a_task_that_succeeds_at_last(calls: Calls) -> None:
    unsteady = task(retries=2, **calls.all())(failing(2))
    assert flow(lambda: unsteady(7)).run() == 7
    assert calls.notes == [
        ("running", "unsteady", 1, "RUNNING"),
        ("retry", "unsteady", 2, "FAILED"),
        ("running", "unsteady", 2, "RUNNING"),
        ("retry", "unsteady", 3, "FAILED"),
        ("running", "unsteady", 3, "RUNNING"),
        ("completion", "unsteady", 3, "SUCCEEDED"),
    ]
    assert [state.message for state in calls.states if state == "FAILED"] == [
        "ValueError: boom 1",
        "ValueError: boom 2",
    ]


def test_hooks_of_a_task_that_fails_for_good(calls: Calls) -> None:
    hopeless = task(retries=1, **calls.all("failure", "completion"))(failing(9))
    finished = flow(name="f")(lambda n=3: hopeless(n)).run_local(n=4)
    assert calls.notes == [("failure", "unsteady", 2, "FAILED")]
    (context,), (state,) = calls.contexts, calls.states
    assert (context.run_id, context.flow_name, dict(context.parameters)) == (finished.run_id, "f", {"n": 4})
    assert (context.task, context.task_attempt) == ("unsteady", 2)
    assert (state.type, state.message, state.error) == (StateType.FAILED, "ValueError: boom 2", finished.error)


def test_a_timeout_is_told_as_such(calls: Calls) -> None:
    release = threading.Event()
    slow = task(name="slow", timeout_seconds=0.05, **calls.all())(lambda: release.wait(WAIT))
    finished = flow(slow).execute({})
    release.set()
    assert calls.notes[-1] == ("failure", "slow", 1, "TIMED_OUT")
    assert isinstance(calls.states[-1].error, TaskTimedOut)
    assert finished.tasks["slow"].state is State.TIMED_OUT


def test_a_skipped_task_has_no_hooks_called(calls: Calls) -> None:
    bad = task(name="bad")(failing(9))
    never = task(name="never", **calls.all())(lambda _: None)
    flow(lambda: never(bad(1))).execute({})
    assert calls.notes == []


def test_hooks_of_a_flow_frame_those_of_its_tasks(calls: Calls) -> None:
    step = task(name="step", on_running=calls.hook("task"))(lambda: None)
    options = calls.all("running", "completion", "failure")
    flow(name="outer", **options)(step).run()
    assert [(kind, name) for kind, name, *_ in calls.notes] == [
        ("running", "outer"),
        ("task", "step"),
        ("completion", "outer"),
    ]


def test_the_failure_hook_of_a_flow_is_called_for_whatever_makes_it_fail(calls: Calls) -> None:
    options = calls.all("completion", "failure")
    bad = task(name="bad")(failing(9))
    with DAG("in_a_task", **options) as dag:  # type: ignore[arg-type]
        bad(1)
    dag.run_local()

    @flow(**options)
    def in_its_body() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError):
        in_its_body.run()
    assert [(kind, name, state) for kind, name, _, state in calls.notes] == [
        ("failure", "in_a_task", "FAILED"),
        ("failure", "in_its_body", "FAILED"),
    ]
    assert [state.message for state in calls.states] == ["ValueError: boom 1", "KeyError: 'lost'"]


@pytest.mark.parametrize("error", [ValueError("broken hook"), SystemExit(3)])
def test_a_hook_that_raises_is_logged_and_harms_nothing(
    error: BaseException, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(context: RunContext, state: State) -> None:
        raise error

    everywhere: dict[str, list[Hook]] = {
        option: [broken, hook] for option, hook in calls.all("running", "completion", "failure").items()
    }
    steady = task(name="steady", retries=1, on_retry=[broken], **everywhere)(failing(1))  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR, "dagy"):
        assert flow(name="whole", **everywhere)(lambda: steady(5)).run() == 5  # type: ignore[arg-type]
    # running twice, completion of the task and of the flow, running of the flow: each hook after a broken one
    assert len(calls.notes) == 5
    assert len(caplog.records) == 6
    assert "broken of steady raised; the run goes on" in caplog.text


def test_a_slow_hook_delays_no_task() -> None:
    second_ran = threading.Event()

    def slow(context: RunContext, state: State) -> None:
        assert second_ran.wait(WAIT)

    first = task(name="first", on_completion=slow)(lambda: 1)
    second = task(name="second")(lambda _: second_ran.set())
    flow(lambda: second(first())).run()
    assert second_ran.is_set()


def test_the_end_of_a_run_waits_for_its_hooks(calls: Calls) -> None:
    at_work, hold, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(context: RunContext, state: State) -> None:
        at_work.set()
        hold.wait(WAIT)

    quick = task(name="quick", on_completion=[slow, calls.hook("completion")])(lambda: None)
    run = threading.Thread(target=lambda: (flow(quick).run(), ended.set()))
    run.start()
    assert at_work.wait(WAIT)
    assert not ended.is_set()
    hold.set()
    run.join(WAIT)
    assert ended.is_set()
    assert calls.notes == [("completion", "quick", 1, "SUCCEEDED")]


def test_a_hook_that_hangs_does_not_hang_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hooks, "HOOK_SECONDS", 0.01)
    release = threading.Event()
    task_that_hangs = task(name="t", on_completion=lambda *_: release.wait(WAIT))(lambda: 3)
    assert flow(task_that_hangs).run() == 3
    assert "a hook is still at work after 0.01 s; the run ends without it" in caplog.text
    release.set()


def test_a_run_that_is_told_to_stop_tells_its_hooks(calls: Calls) -> None:
    def stop() -> None:
        raise Terminated("stopped by SIGTERM")

    lone = task(name="lone", **calls.all("failure"))(stop)
    finished = flow(name="f", **calls.all("failure"))(lone).execute({})
    assert isinstance(finished.error, Terminated)
    assert [(name, state.message) for (_, name, *_), state in zip(calls.notes, calls.states, strict=True)] == [
        ("lone", "Terminated: stopped by SIGTERM"),
        ("f", "Terminated: stopped by SIGTERM"),
    ]


def test_a_hook_knows_run_and_task_and_its_logs_belong_to_the_task() -> None:
    seen: list[object] = []

    def look(context: RunContext, state: State) -> None:
        seen.append((RunContext.current().run_id == context.run_id, current_task()))

    looked_at = task(name="looked_at", on_running=look, on_completion=look)(lambda: None)
    flow(on_completion=look)(looked_at).run()
    assert seen == [(True, "looked_at"), (True, "looked_at"), (True, "")]


def test_a_retry_condition_decides_by_the_exception() -> None:
    asked: list[BaseException] = []

    def is_passing(error: BaseException) -> bool:
        asked.append(error)
        return isinstance(error, ConnectionError)

    errors = iter([ConnectionError("busy"), ValueError("wrong")])

    @task(retries=5, retry_condition_fn=is_passing)
    def picky() -> None:
        raise next(errors)

    finished = flow(picky).execute({})
    assert finished.tasks["picky"].attempts == 2
    assert [type(error) for error in asked] == [ConnectionError, ValueError]


def test_a_retry_condition_is_asked_about_timeouts_and_one_that_raises_does_not_agree(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = threading.Event()
    options = {"retries": 1, "timeout_seconds": 0.02, "retry_condition_fn": lambda e: isinstance(e, TimeoutError)}
    slow = task(name="slow", **options)(lambda: release.wait(WAIT))
    finished = flow(slow).execute({})
    release.set()
    assert finished.tasks["slow"].attempts == 2
    broken = task(name="broken", retries=3, retry_condition_fn=lambda e: e.nothing)(failing(9))  # type: ignore[attr-defined]
    assert flow(lambda: broken(1)).execute({}).tasks["broken"].attempts == 1
    assert "retry_condition_fn of broken raised; the task is not tried again" in caplog.text


def test_states_are_made_and_compared() -> None:
    assert (running().type, completed("ok").message) == (StateType.RUNNING, "ok")
    assert failed(error=ValueError("x")) == failed("other") == State.FAILED == "FAILED"
    assert failed("x") != State.TIMED_OUT
    assert {State.FAILED: 1}[failed("any")] == 1
    assert f"{State.SKIPPED}" == "SKIPPED"
    assert failed(type=StateType.TIMED_OUT).is_failure
    assert not completed().is_failure


def test_a_sigterm_while_hooks_are_waited_for_ends_the_wait_and_keeps_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_thread: threading.Thread, _timeout: float | None = None) -> None:
        raise Terminated("stopped by SIGTERM")

    quick = task(name="quick", on_completion=lambda *_: None)(lambda: 3)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", interrupted)
        assert flow(quick).run() == 3
