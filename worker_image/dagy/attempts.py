"""Performing attempts of tasks, in threads of their own or in the caller's. The executor decides; this room does.

One thread per attempt, because an attempt that runs out of time cannot be killed: it is interrupted at its next
Python instruction and left behind, and must take no other task with it; one that has not begun by then never does.
The threads are daemons for the same reason: a call stuck in C code does not keep the process alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from math import inf
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread, get_ident, main_thread
from time import monotonic
from typing import Any

from dagy.context import inside_task
from dagy.errors import Terminated
from dagy.graph import not_recording

THREAD_PREFIX = "dagy-task-"
"""How the names of attempts' threads begin."""
_LONGEST_WAIT = 0.1
"""Seconds of one wait in a thread that is itself an attempt's: only between two waits can it be interrupted."""


class Interruption:
    """Raises Terminated in an attempt's thread: once, and only while that performs the attempt."""

    __slots__ = ("_is_over", "_lock", "_thread_id")

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread_id = 0
        self._is_over = False

    def begin(self) -> bool:
        """Note that this thread begins to perform; False if it is not to begin any more."""
        with self._lock:
            self._thread_id = get_ident()
            return not self._is_over

    def end(self) -> None:
        """Note that it has ended."""
        with self._lock:
            self._is_over = True

    def interrupt(self) -> None:
        """Raise Terminated in the thread, at its next Python instruction."""
        with self._lock:
            if self._thread_id and not self._is_over:
                _raise_in(self._thread_id, Terminated)
            self._is_over = True


@dataclass(eq=False, slots=True)
class Attempt:
    """One attempt at one task. Without a thread it is performed by the executor's own."""

    name: str
    number: int
    deadline: float | None = None
    thread: Thread | None = None
    interruption: Interruption = field(default_factory=Interruption, repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an attempt: its value, or its error."""

    attempt: Attempt
    value: Any = None
    error: BaseException | None = None


class Attempts:
    """Starts attempts and tells when they end."""

    def __init__(self) -> None:
        self._ended: SimpleQueue[Ended] = SimpleQueue()

    def perform(self, attempt: Attempt, call: Callable[[], Any]) -> None:
        """Perform an attempt here and now. Only exceptions that end the whole run leave this method."""
        copy_context().run(self._perform, attempt, call)

    def start(self, attempt: Attempt, call: Callable[[], Any]) -> None:
        """Start an attempt in a thread of its own, with the caller's context variables."""

        context = copy_context()

        def in_thread() -> None:
            with suppress(Terminated):  # one that came as the attempt ended
                self._perform_until_interrupted(attempt, lambda: context.run(self._perform, attempt, call))

        attempt.thread = Thread(target=in_thread, name=f"{THREAD_PREFIX}{attempt.name}", daemon=True)
        attempt.thread.start()

    def next_end(self, timeout: float | None) -> Ended | None:
        """Return the next end, waiting for it; or None if there is none in time."""
        if current_thread() is main_thread():
            return self._get(timeout)
        over = inf if timeout is None else monotonic() + timeout
        while (ended := self._get(max(0.0, min(_LONGEST_WAIT, over - monotonic())))) is None and monotonic() < over:
            pass
        return ended

    def _get(self, timeout: float | None) -> Ended | None:
        try:
            return self._ended.get(timeout=timeout)
        except Empty:
            return None

    def _perform_until_interrupted(self, attempt: Attempt, perform: Callable[[], None]) -> None:
        if not attempt.interruption.begin():
            return
        try:
            perform()
        except BaseException as exc:  # noqa: BLE001 - whatever ended the thread, the executor must hear of it
            self._ended.put(Ended(attempt, error=exc))
        finally:
            attempt.interruption.end()

    def _perform(self, attempt: Attempt, call: Callable[[], Any]) -> None:
        try:
            with not_recording(), inside_task(attempt.name, attempt.number):
                value = call()
        except KeyboardInterrupt:  # Terminated, too: it ends the run
            raise
        except BaseException as exc:  # noqa: BLE001 - a task may fail with anything
            self._ended.put(Ended(attempt, error=_from_user_code(exc)))
        else:
            self._ended.put(Ended(attempt, value=value))


def interrupt(attempts: Iterable[Attempt], *, grace_seconds: float = 0.0) -> None:
    """Raise Terminated inside running attempts, so that their ``finally`` blocks run, and wait a little for that."""
    threaded = [(attempt, attempt.thread) for attempt in attempts if attempt.thread is not None]
    for attempt, _ in threaded:
        attempt.interruption.interrupt()
    deadline = monotonic() + grace_seconds
    for thread in [thread for _, thread in threaded if thread.is_alive()]:
        thread.join(max(0.0, deadline - monotonic()))


def _raise_in(thread_id: int, exception: type[BaseException]) -> None:
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(exception))


def _from_user_code(exc: BaseException) -> BaseException:
    """Drop the SDK's own frames from the top of the traceback, if any of the user's follow."""
    frames = exc.__traceback__
    while frames is not None and str(frames.tb_frame.f_globals.get("__name__")).startswith("dagy."):
        frames = frames.tb_next
    return exc if frames is None else exc.with_traceback(frames)
