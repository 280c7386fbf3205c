"""Containers that are only a timer: nothing runs, so a thousand of them cost next to nothing."""

from __future__ import annotations

import asyncio
import signal

from dagy_queue.local.ecs.runtimes.base import ContainerExit, ContainerPlan, StartError
from dagy_queue.local.ecs.runtimes.images import is_stub


class SimulatedRuntime:
    """Runs ``dagy-local/stub``, whose command is ``[seconds, exit code]``, and any image when ECS simulates.

    ``STUB_SECONDS`` and ``STUB_EXIT_CODE`` in the environment say the same for images with other commands.
    """

    def __init__(self) -> None:
        self._running: set[SimulatedContainer] = set()

    async def start(self, plan: ContainerPlan) -> SimulatedContainer:
        """Start a timer. Raises StartError if its command is not a number of seconds and an exit code."""
        seconds, code = _script(plan)
        container = SimulatedContainer(seconds, code)
        self._running.add(container)
        container.exited.add_done_callback(lambda _: self._running.discard(container))
        return container

    async def close(self) -> None:
        """End every timer."""
        for container in list(self._running):
            container.signal(signal.SIGKILL)


class SimulatedContainer:
    """A timer that ends with an exit code."""

    def __init__(self, seconds: float, code: int) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[ContainerExit] = loop.create_future()
        self._timer = loop.call_later(seconds, self._end, code)

    def signal(self, number: int) -> None:
        """End at once, as a process without a handler would."""
        self._timer.cancel()
        self._end(128 + number)

    def _end(self, code: int) -> None:
        if not self.exited.done():
            self.exited.set_result(ContainerExit(code))


def _script(plan: ContainerPlan) -> tuple[float, int]:
    words = plan.command if is_stub(plan.image) else ()
    try:
        seconds = float(words[0] if words else plan.environment.get("STUB_SECONDS", "0"))
        code = int(words[1] if len(words) > 1 else plan.environment.get("STUB_EXIT_CODE", "0"))
    except ValueError as exc:
        raise StartError(f"CannotStartContainerError: stub command {list(words)}: {exc}") from exc
    return seconds, code
