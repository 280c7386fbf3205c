"""Attempts in threads that are interrupted at any moment: before they begin, while they run, as they end."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from dagy.attempts import Attempt, Attempts, interrupt
from dagy.errors import Terminated

WAIT = 20.0


def ended(attempt: Attempt) -> bool:
    assert attempt.thread is not None
    attempt.thread.join(WAIT)
    return not attempt.thread.is_alive()


def test_what_is_interrupted_before_it_has_begun_never_begins() -> None:
    attempts, begun = Attempts(), []
    attempt = Attempt("late", 1)
    attempt.interruption.interrupt()
    attempts.start(attempt, lambda: begun.append("begun"))
    assert ended(attempt)
    assert begun == []
    assert attempts.next_end(0) is None


def test_what_is_interrupted_runs_its_finally_blocks() -> None:
    attempts, begun, cleaned = Attempts(), threading.Event(), threading.Event()

    def work() -> None:
        try:
            begun.set()
            while True:
                time.sleep(0.001)
        finally:
            cleaned.set()

    attempt = Attempt("endless", 1)
    attempts.start(attempt, work)
    assert begun.wait(WAIT)
    interrupt([attempt, attempt], grace_seconds=WAIT)
    assert cleaned.is_set()
    end = attempts.next_end(0)
    assert end is not None
    assert isinstance(end.error, Terminated)


def test_what_has_ended_or_has_no_thread_is_not_interrupted() -> None:
    attempts, attempt = Attempts(), Attempt("short", 1)
    attempts.start(attempt, lambda: 1)
    assert ended(attempt)
    interrupt([attempt, Attempt("here", 1)], grace_seconds=WAIT)
    end = attempts.next_end(0)
    assert end is not None
    assert (end.value, end.error) == (1, None)


@pytest.fixture
def _threads_take_turns() -> Iterator[None]:
    """Have threads change places often, and collect no garbage: Python drops errors in callbacks of that."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    gc.disable()
    yield
    gc.enable()
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_threads_take_turns")
@pytest.mark.parametrize("steps", range(0, 2000, 100))
def test_an_interruption_at_any_moment_leaves_the_attempt_alone_or_ends_it(steps: int) -> None:
    """pytest fails a test in which an error leaves a thread."""
    attempts = Attempts()
    for _ in range(50):
        attempt = Attempt("racing", 1)
        attempts.start(attempt, lambda: sum(range(1000)))
        for _ in range(steps):
            pass
        interrupt([attempt])
        assert ended(attempt)
        end = attempts.next_end(0)
        assert end is None or end.value == 499_500 or isinstance(end.error, Terminated)
