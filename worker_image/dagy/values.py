"""The values of finished tasks, held as long as something may still ask for them. The executor's own store.

A flow over large tables would otherwise keep every intermediate one until its end.
"""

from __future__ import annotations

from typing import Any

from dagy.graph import Node, Plan
from dagy.nested import rebuild
from dagy.outputs import TaskOutput


class Values:
    """Fills task outputs with values, in arguments and in the flow's result."""

    def __init__(self, plan: Plan) -> None:
        self._returns = plan.returns
        self._values: dict[str, Any] = {}
        self._readers = {name: len(below) for name, below in plan.graph.downstream().items()}
        for name in plan.graph.names_in(plan.returns):
            self._readers[name] += 1

    def put(self, name: str, value: Any) -> None:
        """Keep a task's value if anyone is going to read it."""
        if self._readers[name]:
            self._values[name] = value

    def call(self, node: Node) -> Any:
        """Call a node's task with its real arguments."""
        args = rebuild(node.args, self._fill)
        kwargs = rebuild(dict(node.kwargs), self._fill)
        return node.task.perform(args, kwargs)

    def release_inputs(self, node: Node) -> None:
        """Note that a node will not read its inputs again, and drop those that nobody else reads."""
        for name in node.upstream:
            self._readers[name] -= 1
            if not self._readers[name]:
                self._values.pop(name, None)

    def result(self) -> Any:
        """Return the flow's result."""
        return rebuild(self._returns, self._fill)

    def _fill(self, leaf: Any) -> Any:
        return leaf.value_in(self._values) if isinstance(leaf, TaskOutput) else leaf
