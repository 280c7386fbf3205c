"""Keeps the product's processes running: notices a death, tells, restarts with backoff. ``up`` is its only caller."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dagy_queue.errors import LocalStackError
from dagy_queue.local.processes import Child

FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
SETTLED_SECONDS = 60.0
"""A process that lived so long starts again without having its earlier deaths counted."""


@dataclass
class Service:
    """A process to keep running: how to start it, and how to see that it works."""

    name: str
    start: Callable[[], Child]
    ready: Callable[[], bool]
    child: Child | None = None
    deaths: int = 0
    started_at: float = field(default=0.0)
    restart_at: float = 0.0

    def launch(self) -> None:
        """Start the process."""
        self.child = self.start()
        self.started_at = time.monotonic()
        self.restart_at = 0.0


class Supervisor:
    """Watches the services and the foundation (Redis and AWS, without which there is nothing to supervise)."""

    def __init__(self, services: Sequence[Service], foundation: Sequence[Child], tell: Callable[[str], None]) -> None:
        self._services = services
        self._foundation = foundation
        self._tell = tell

    def start(self, seconds: float) -> None:
        """Start all services and wait until each is ready. Raises LocalStackError if one ends or is late."""
        for service in self._services:
            service.launch()
        deadline = time.monotonic() + seconds
        for service in self._services:
            if service.child:
                service.child.wait_until(service.ready, max(1.0, deadline - time.monotonic()), "ready")

    def run(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Watch until interrupted. Raises LocalStackError when the foundation breaks."""
        while True:
            self.check()
            pause(0.25)

    def check(self) -> None:
        """Look at every process once."""
        for child in self._foundation:
            if (code := child.poll()) is not None:
                raise LocalStackError(f"{child.name} ended with exit code {code}{child.tail()}")
        for service in self._services:
            self._check(service)

    def _check(self, service: Service) -> None:
        now = time.monotonic()
        if service.restart_at:
            if now >= service.restart_at:
                self._tell(f"{service.name}: starting again")
                service.launch()
            return
        if service.child is None or (code := service.child.poll()) is None:
            return
        service.deaths = 1 if now - service.started_at > SETTLED_SECONDS else service.deaths + 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (service.deaths - 1))
        service.restart_at = now + delay
        self._tell(f"{service.name} ended with exit code {code}, restart in {delay:g} s{service.child.tail()}")
