from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from dagy_queue.aws.log_reader import MISSING, LogEvent, LogPage
from dagy_queue.dispatch import failure_logs
from dagy_queue.dispatch.failure_logs import FailureLogs
from dagy_queue.errors import AwsError, AwsRefused, AwsUnavailable
from dagy_queue.requests import ContainerRequest
from dagy_queue.settings import load_settings

ARN = "arn:aws:ecs:eu-west-1:123456789012:task/dagy/abc"
REQUEST = ContainerRequest(org_id="acme", image="x")


class Clock:
    """A time that passes when somebody waits."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def pause(self, seconds: float) -> None:
        self.at += seconds


class Script:
    """CloudWatch as a test has it: what it answers, and what it was asked."""

    def __init__(self) -> None:
        self.answers: list[list[str] | AwsError] = []
        self.calls: list[tuple[str, str, int]] = []

    def tail(self, group: str, stream: str, most: int) -> LogPage:
        self.calls.append((group, stream, most))
        answer = self.answers.pop(0) if self.answers else ["a", "b"]
        if isinstance(answer, AwsError):
            raise answer
        return LogPage(tuple(LogEvent(0, line, stream) for line in answer), "")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    made = Script()
    monkeypatch.setattr(failure_logs, "LogReader", lambda _client: made)
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logs(script: Script, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FailureLogs:
    made = FailureLogs(load_settings(), now=clock.now, pause=clock.pause)
    regions: Any = SimpleNamespace(in_region=lambda region: SimpleNamespace(logs=region))
    monkeypatch.setattr(made, "_aws", regions)
    return made


def read(logs: FailureLogs, request: ContainerRequest = REQUEST, task: str = ARN) -> tuple[str, ...]:
    return logs.last_lines("r", request, task)


def test_the_last_lines_are_read_with_one_call(logs: FailureLogs, script: Script) -> None:
    assert read(logs) == ("a", "b")
    assert script.calls == [("/ecs/dagy-worker", "dagy/worker/abc", 20)]


def test_lines_that_come_late_are_waited_for_once(logs: FailureLogs, script: Script, clock: Clock) -> None:
    script.answers = [[], ["late"]]
    assert read(logs) == ("late",)
    assert clock.at == 101
    script.answers = [[], []]
    assert read(logs) == ()
    assert len(script.calls) == 4


def test_a_stream_that_does_not_exist_has_no_lines(logs: FailureLogs, script: Script) -> None:
    script.answers = [AwsRefused("no stream", code=MISSING)]
    assert read(logs) == ()
    assert read(logs) == ("a", "b")


@pytest.mark.parametrize(
    ("request_", "task"), [(REQUEST, ""), (ContainerRequest(org_id="acme", task_definition="f"), ARN)]
)
def test_nothing_is_asked_where_the_log_is_not_known(
    logs: FailureLogs, script: Script, request_: ContainerRequest, task: str
) -> None:
    assert read(logs, request_, task) == ()
    assert script.calls == []


def test_zero_lines_ask_for_nothing(script: Script) -> None:
    logs = FailureLogs(load_settings(dispatch={"failure_log_lines": 0}))
    assert read(logs) == ()
    assert script.calls == []


def test_of_thousands_of_failures_only_some_are_read(logs: FailureLogs, script: Script, clock: Clock) -> None:
    for _ in range(5000):
        read(logs)
        clock.at += 0.01
    assert len(script.calls) == pytest.approx(10 + 50 * 2, abs=2)


@pytest.mark.parametrize("error", [AwsUnavailable("away"), AwsRefused("denied", code="AccessDeniedException")])
def test_after_a_call_that_failed_nothing_is_read_for_a_minute(
    logs: FailureLogs, script: Script, clock: Clock, error: AwsError
) -> None:
    script.answers = [error]
    assert read(logs) == ()
    clock.at += 59
    assert read(logs) == ()
    assert len(script.calls) == 1
    clock.at += 2
    assert read(logs) == ("a", "b")


def test_no_more_than_a_few_threads_read_at_once(
    logs: FailureLogs, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, leave = Barrier(5), Barrier(5)

    def slow(read_now: Callable[..., LogPage]) -> Callable[..., LogPage]:
        def tail(*args: Any) -> LogPage:
            inside.wait(30)
            leave.wait(30)
            return read_now(*args)

        return tail

    monkeypatch.setattr(script, "tail", slow(script.tail))
    threads = [Thread(target=read, args=(logs,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    inside.wait(30)
    assert read(logs) == ()
    leave.wait(30)
    for thread in threads:
        thread.join()
    assert len(script.calls) == 4
