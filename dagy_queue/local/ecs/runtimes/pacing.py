"""How many containers may be starting at the same moment: a laptop that starts 365 at once finishes none for a while.

A start has its slot until the container ends, or for a second: then it has loaded its code, and a container that
sleeps for an hour must not keep others from starting.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

SECONDS_TO_START = 1.0
STARTS_PER_CORE = 3

Container = TypeVar("Container")


class StartPace:
    """Slots for starting containers."""

    def __init__(self, slots: int | None = None) -> None:
        self._slots = asyncio.Semaphore(slots or STARTS_PER_CORE * (os.cpu_count() or 1))
        self._holders: set[asyncio.Task[None]] = set()

    async def start(
        self, start: Callable[[], Awaitable[Container]], exited: Callable[[Container], asyncio.Future[Any]]
    ) -> Container:
        """Start a container when there is a slot; ``exited`` tells when it ends."""
        await self._slots.acquire()
        try:
            container = await start()
        except BaseException:
            self._slots.release()
            raise
        holder = asyncio.get_running_loop().create_task(self._hold(exited(container)))
        self._holders.add(holder)
        holder.add_done_callback(self._holders.discard)
        return container

    def close(self) -> None:
        """Let go of every slot."""
        for holder in self._holders:
            holder.cancel()

    async def _hold(self, exited: asyncio.Future[Any]) -> None:
        try:
            await asyncio.wait({exited}, timeout=SECONDS_TO_START)
        finally:
            self._slots.release()
