"""Calling the hooks that flow authors attach to tasks and flows. They watch a run; they cannot change or harm it.

A hook that raises is logged, and nothing else happens. Hooks of what starts are called there, before the task's
function; hooks of what has ended are called one after the other by a thread of their own, so that a slow one
delays no task. The end of the run waits for them, but not for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from dagy.context import RunContext, inside_task
from dagy.errors import Terminated
from dagy.graph import not_recording
from dagy.states import State

if TYPE_CHECKING:
    import logging

Hook = Callable[[RunContext, State], object]
"""What a hook is: a function of the context of the task or flow that it is attached to, and of its new state."""

HOOK_SECONDS = 30.0
"""How long the end of a run waits for its hooks."""
STOPPING_HOOK_SECONDS = 3.0
"""The same for a run that was told to stop, which has little time left."""


def call_hooks(hooks: Sequence[Hook], context: RunContext, state: State) -> None:
    """Call hooks here and now."""
    for hook in hooks:
        try:
            with not_recording(), inside_task(context.task, context.task_attempt):
                hook(context, state)
        except KeyboardInterrupt:  # Terminated, too: it is meant for the run
            raise
        except BaseException:  # noqa: BLE001 - whatever it raises, the run goes on
            name = getattr(hook, "__qualname__", repr(hook))
            _logger().exception("hook %s of %s raised; the run goes on", name, context.name)


def agrees(condition: Callable[[BaseException], object], error: BaseException, task: str) -> bool:
    """Ask a retry condition about an error. One that raises does not agree."""
    try:
        return bool(condition(error))
    except Exception:  # noqa: BLE001 - whatever it raises, the run goes on
        _logger().exception("retry_condition_fn of %s raised; the task is not tried again", task)
        return False


class HookQueue:
    """The hooks of one run that are called beside it."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def post(self, hooks: Sequence[Hook], context: RunContext, state: State) -> None:
        """Have hooks called after those posted before."""
        if not hooks:
            return
        if self._thread is None:
            self._thread = Thread(target=self._work, name="dagy-hooks", daemon=True)
            self._thread.start()
        variables = copy_context()
        self._waiting.put(lambda: variables.run(call_hooks, hooks, context, state))

    def finish(self, *, stopping: bool = False, nested: bool = False) -> None:
        """Wait until every posted hook has returned, or for as long as the end of a run may take.

        A SIGTERM meanwhile ends the wait alone: what the hooks were told of is decided. Inside another run (``nested``)
        it is meant for that one, and raises Terminated.
        """
        if self._thread is None:
            return
        self._waiting.put(None)
        seconds = STOPPING_HOOK_SECONDS if stopping else HOOK_SECONDS
        try:
            self._thread.join(seconds)
        except Terminated:
            if nested:
                raise
            return
        if self._thread.is_alive():
            _logger().warning("a hook is still at work after %g s; the run ends without it", seconds)

    def _work(self) -> None:
        for call in iter(self._waiting.get, None):
            with suppress(KeyboardInterrupt):  # a hook's own: no signal comes to this thread
                call()


def _logger() -> logging.Logger:
    import logging

    return logging.getLogger("dagy")
