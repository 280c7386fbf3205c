"""The output of one container: a pipe its processes write to, and the shipper that reads it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from dagy_queue.local.ecs.logs import LogShipper
from dagy_queue.local.ecs.runtimes.base import LogTarget

DRAIN_SECONDS = 10.0
"""How long the rest of the output may take once the container has ended and everything in it was killed."""

_log = logging.getLogger(__name__)

Shippers = Callable[[LogTarget], LogShipper]


class ContainerOutput:
    """Holds the writing end until the container has it, and waits for the reading end to run dry."""

    def __init__(self, target: LogTarget | None, shippers: Shippers) -> None:
        self._shipping: asyncio.Task[None] | None = None
        if target is None:
            self.write_fd = os.open(os.devnull, os.O_WRONLY)
            return
        read_fd, self.write_fd = os.pipe()
        self._shipping = asyncio.get_running_loop().create_task(shippers(target).ship(read_fd))

    def handed_over(self) -> None:
        """Close our copy of the writing end: the container has its own, or will never have one."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    async def drained(self) -> None:
        """Wait until every line has been handed to the sink."""
        self.handed_over()
        if self._shipping is None:
            return
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._shipping
        except TimeoutError:
            _log.warning("output still open %s s after its container ended", DRAIN_SECONDS)
