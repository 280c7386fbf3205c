"""Signals that interrupt: the first one alone, and also where Python drops what a handler raises."""

from __future__ import annotations

import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from dagy_queue.interrupts import interrupted_by


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    numbers = (signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers() -> dict[object, object]:
    numbers = (signal.SIGUSR1, signal.SIGALRM)
    return {"dropped": sys.unraisablehook, **{number: signal.getsignal(number) for number in numbers}}


class Interrupted(BaseException):
    pass


class Thing:
    pass


def wait_to_be_interrupted() -> None:
    """Wait in short steps, as a program does that goes on after a dropped interrupt."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        time.sleep(0.01)
    pytest.fail("nothing interrupted it")


def send(number: signal.Signals = signal.SIGUSR1) -> None:
    signal.raise_signal(number)


def drop_an_interrupt() -> None:
    """Have the signal come while the callback of a weak reference runs."""
    thing = Thing()
    reference = weakref.ref(thing, lambda _: send())
    del thing
    assert reference() is None


def in_the_block(*steps: Callable[[], object]) -> None:
    with interrupted_by((signal.SIGUSR1,), Interrupted):
        for step in steps:
            step()


def test_a_signal_interrupts_the_block() -> None:
    with pytest.raises(Interrupted):
        in_the_block(send, wait_to_be_interrupted)


def test_signals_that_follow_do_not_disturb_what_stops() -> None:
    made = []

    def interrupt() -> Interrupted:
        made.append(Interrupted())
        return made[-1]

    with interrupted_by((signal.SIGUSR1, signal.SIGUSR2), interrupt):
        with pytest.raises(Interrupted):
            send(signal.SIGUSR1)
        send(signal.SIGUSR1)
        send(signal.SIGUSR2)
    assert len(made) == 1


def test_an_interrupt_that_a_weak_reference_s_callback_drops_comes_once_more(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Interrupted):
        in_the_block(drop_an_interrupt, wait_to_be_interrupted)
    assert capfd.readouterr().err == ""


def test_an_interrupt_that_is_dropped_many_times_comes_still() -> None:
    class Busy:
        def __del__(self) -> None:
            wait_to_be_interrupted()  # What is raised here is dropped as well.

    with pytest.raises(Interrupted):
        in_the_block(drop_an_interrupt, *[Busy] * 5, wait_to_be_interrupted)


def test_other_exceptions_that_python_drops_are_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_value))

    def fail(_: object) -> None:
        raise ValueError("dropped")

    with interrupted_by((signal.SIGUSR1,), Interrupted):
        thing = Thing()
        reference = weakref.ref(thing, fail)
        del thing
        assert reference() is None
    assert [str(one) for one in told] == ["dropped"]


def test_the_handlers_and_the_hook_are_as_before_when_the_block_is_left() -> None:
    before = handlers()
    with interrupted_by((signal.SIGUSR1,), Interrupted):
        assert handlers() != before
    assert handlers() == before


def test_after_an_interrupt_the_signals_stay_ignored_so_that_the_process_ends_in_peace() -> None:
    before = handlers()
    with pytest.raises(Interrupted):
        in_the_block(send)
    assert handlers() == {**before, signal.SIGUSR1: signal.SIG_IGN}
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_in_another_thread_the_block_just_runs() -> None:
    ran = []

    def run() -> None:
        with interrupted_by((signal.SIGUSR1,), Interrupted):
            ran.append(signal.getsignal(signal.SIGUSR1))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ran == [signal.getsignal(signal.SIGUSR1)]
