"""Performing attempts of tasks, in threads of their own or in the caller's. The executor decides; this room does.

One thread per attempt, because an attempt that runs out of time cannot be killed: it is interrupted at its next
Python instruction and left behind, and must take no other task with it. The threads are daemons for the same
reason: a call stuck in C code does not keep the process alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

from dagy.context import inside_task
from dagy.errors import Terminated
from dagy.graph import not_recording

THREAD_PREFIX = "dagy-task-"
"""How the names of attempts' threads begin; the worker looks for those still alive at its end."""


@dataclass(eq=False, slots=True)
class Attempt:
    """One attempt at one task. Without a thread it is performed by the executor's own."""

    name: str
    number: int
    deadline: float | None = None
    thread: Thread | None = None


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

        def in_thread() -> None:
            try:
                context.run(self._perform, attempt, call)
            except BaseException as exc:  # noqa: BLE001 - whatever ended the thread, the executor must hear of it
                self._ended.put(Ended(attempt, error=exc))

        context = copy_context()
        attempt.thread = Thread(target=in_thread, name=f"{THREAD_PREFIX}{attempt.name}", daemon=True)
        attempt.thread.start()

    def next_end(self, timeout: float | None) -> Ended | None:
        """Return the next end, waiting for it; or None if there is none in time."""
        try:
            return self._ended.get(timeout=timeout)
        except Empty:
            return None

    def _perform(self, attempt: Attempt, call: Callable[[], Any]) -> None:
        try:
            with not_recording(), inside_task(attempt.name):
                value = call()
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - a task may fail with anything
            self._ended.put(Ended(attempt, error=_from_user_code(exc)))
        else:
            self._ended.put(Ended(attempt, value=value))


def interrupt(attempts: Iterable[Attempt], *, grace_seconds: float = 0.0) -> None:
    """Raise Terminated inside running attempts, so that their ``finally`` blocks run, and wait a little for that."""
    threads = [attempt.thread for attempt in attempts if attempt.thread is not None and attempt.thread.is_alive()]
    for thread in threads:
        _raise_in(thread, Terminated)
    deadline = monotonic() + grace_seconds
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))


def _raise_in(thread: Thread, exception: type[BaseException]) -> None:
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(exception))


def _from_user_code(exc: BaseException) -> BaseException:
    """Drop the SDK's own frames from the top of the traceback, if any of the user's follow."""
    frames = exc.__traceback__
    while frames is not None and str(frames.tb_frame.f_globals.get("__name__")).startswith("dagy."):
        frames = frames.tb_next
    return exc if frames is None else exc.with_traceback(frames)
