"""Tasks whose inputs are there: which of them may start now. The executor's own queue.

A task with a ``concurrency_limit`` takes a slot under its name; while all are taken, the next ones wait aside, where
they cost nothing, and come back to the front as slots are given back.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping

from dagy.graph import Node


class ReadyTasks:
    """The nodes that may start, in the order in which they became ready."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self._ready: deque[str] = deque()
        self._aside: defaultdict[str, deque[str]] = defaultdict(deque)
        self._taken: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._ready)

    def add(self, name: str) -> None:
        """Add a node whose inputs are there."""
        self._ready.append(name)

    def take(self) -> str | None:
        """Return the next node and take its slot, or None if none may start."""
        while self._ready:
            name = self._ready.popleft()
            task = self._nodes[name].task
            limit = task.options.concurrency_limit
            if limit is None or self._taken[task.name] < limit:
                self._taken[task.name] += 1
                return name
            self._aside[task.name].append(name)
        return None

    def give_back(self, name: str) -> None:
        """Give back the slot of a node that has ended."""
        task = self._nodes[name].task
        self._taken[task.name] -= 1
        if self._aside[task.name]:
            self._ready.appendleft(self._aside[task.name].popleft())

    def clear(self) -> None:
        """Forget the nodes that have not been taken."""
        self._ready.clear()
        self._aside.clear()
