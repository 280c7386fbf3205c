"""Signals as exceptions in the main thread, none of which gets lost. Used by whatever runs in the foreground: ``up``,
the screens of ``watch``, and the demo.

A signal may come while Python runs the callback of a weak reference or a ``__del__``. Whatever those raise is printed
as "Exception ignored" and dropped (https://docs.python.org/3/reference/datamodel.html#object.__del__), and the user's
Ctrl-C with it. Here such an exception is raised once more, a moment later.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_ONCE_MORE_SECONDS = 0.01
"""Until the callback that dropped the exception is left."""


@contextmanager
def interrupted_by(numbers: Iterable[signal.Signals], interrupt: Callable[[], BaseException]) -> Iterator[None]:
    """Raise what ``interrupt`` returns in the block when the first of the signals comes.

    Later ones change nothing, also after the block: the process is expected to end, and an impatient second Ctrl-C
    must not spoil its last words and its exit code. Outside the main thread, where Python hears no signals, the block
    just runs. It uses SIGALRM.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = frozenset(numbers)
    raised: list[BaseException] = []

    def heard(*_: object) -> None:
        for number in handled:
            signal.signal(number, signal.SIG_IGN)
        raised.append(interrupt())
        raise raised[0]

    def once_more(*_: object) -> None:
        raise raised[0]

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if what.exc_value in raised:
            signal.setitimer(signal.ITIMER_REAL, _ONCE_MORE_SECONDS)
        else:
            hook(what)

    before: dict[signal.Signals, Any] = {number: signal.signal(number, heard) for number in handled}
    alarm = signal.signal(signal.SIGALRM, once_more)
    hook, sys.unraisablehook = sys.unraisablehook, dropped
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        for number, handler in before.items():
            if not raised:
                signal.signal(number, handler)
