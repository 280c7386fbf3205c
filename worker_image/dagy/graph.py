"""The graph of a flow: nodes are calls of tasks, edges come from passing one call's output to another.

``Task`` records calls here while a flow is being made; the executor and the flow spec read the result. Nodes
refer to each other by name, and so do outputs, which is why a rendered copy of a graph needs no rewiring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dagy.errors import CycleError, GraphError
from dagy.holding import Holding
from dagy.nested import Copies, rebuild
from dagy.outputs import TaskOutput, outputs_in, refuse_hidden

if TYPE_CHECKING:
    from dagy.tasks import Task

_recording: ContextVar[Graph | None] = ContextVar("dagy_graph", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One call of a task, under a name that is unique in its graph."""

    name: str
    task: Task[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    upstream: tuple[str, ...]


@dataclass(slots=True)
class Graph:
    """The nodes of one flow, by name and in the order in which they were called."""

    flow_name: str
    nodes: dict[str, Node] = field(default_factory=dict)
    identity: object = field(default_factory=object)
    """Shared by a graph and its rendered copies, so that outputs of one belong to all."""
    _calls: dict[str, int] = field(default_factory=dict)
    _named: dict[str, Task[..., Any]] = field(default_factory=dict)
    _copies: Copies = field(default_factory=Copies)

    def recording(self) -> AbstractContextManager[Graph]:
        """While the context is open, calling a task adds it to this graph."""
        return Holding({_recording: self}, self)

    def add(self, task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> TaskOutput:
        """Record a call of ``task`` and return its output. Two tasks of the same name are refused.

        The task is given what the arguments are now: lists and dicts may be filled further for other calls.
        """
        upstream = self.names_in((args, dict(kwargs)))
        first = self._named.setdefault(task.name, task)
        if not task.is_same_as(first):
            raise GraphError(
                f"flow {self.flow_name!r}: two tasks are called {task.name!r}: {first.place} and {task.place}. "
                "Give one of them another name: @task(name=...)"
            )
        name = self._unique_name(task.name)
        args, kwargs = self._copies.of((args, dict(kwargs)))
        self.nodes[name] = Node(name=name, task=task, args=args, kwargs=kwargs, upstream=upstream)
        return self.output(name)

    def output(self, name: str) -> TaskOutput:
        """Return the output of the task of that name."""
        return TaskOutput(self, name)

    def connect(self, *, upstream: TaskOutput, downstream: TaskOutput) -> None:
        """Add an edge without a value. Raises CycleError if the upstream already waits for the downstream."""
        (before,) = self.names_in(upstream)
        (after,) = self.names_in(downstream)
        path = self._path(start=after, end=before)
        if path:
            raise CycleError(
                f"flow {self.flow_name!r}: {after!r} cannot wait for {before!r}: "
                f"that makes the cycle {' -> '.join([*path, after])}"
            )
        node = self.nodes[after]
        self.nodes[after] = replace(node, upstream=tuple(dict.fromkeys((*node.upstream, before))))

    def names_in(self, value: Any) -> tuple[str, ...]:
        """Return the names of the tasks whose outputs occur inside ``value``, each once."""
        found: dict[str, None] = {}
        for output in outputs_in(value):
            if not output.belongs_to(self):
                raise GraphError(
                    f"flow {self.flow_name!r}: {output!r} belongs to another flow or run, of {output.flow_name!r}: "
                    "call the task in this one"
                )
            found[output.task_name] = None
        return tuple(found)

    def check_result(self, value: Any) -> None:
        """Refuse a result with outputs in it that are of another flow, or where they cannot be replaced."""
        self.names_in(value)
        refuse_hidden(value, f"flow {self.flow_name!r}")

    def downstream(self) -> dict[str, list[str]]:
        """Return for every task the tasks that wait for it."""
        waiting: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for name in node.upstream:
                waiting[name].append(node.name)
        return waiting

    def with_arguments(self, change: Callable[[Any], Any]) -> Graph:
        """Return a copy in which every leaf of every argument is changed. It shares no list or dict with this one."""
        changed, copies = {}, Copies()
        for name, node in self.nodes.items():
            args, kwargs = copies.of(rebuild((node.args, dict(node.kwargs)), change))
            changed[name] = replace(node, args=args, kwargs=kwargs)
        return Graph(self.flow_name, changed, self.identity)

    def _unique_name(self, wanted: str) -> str:
        count = self._calls.get(wanted, 0) + 1
        name = wanted if count == 1 else f"{wanted}-{count}"
        while name in self.nodes:
            count += 1
            name = f"{wanted}-{count}"
        self._calls[wanted] = count
        return name

    def _path(self, *, start: str, end: str) -> list[str]:
        """Return the tasks from ``start`` down to ``end``, or nothing if there is no way."""
        came_from: dict[str, str] = {end: ""}
        unseen = [end]
        while unseen and start not in came_from:
            name = unseen.pop()
            for above in self.nodes[name].upstream:
                if above not in came_from:
                    came_from[above] = name
                    unseen.append(above)
        path, name = [], start if start in came_from else ""
        while name:
            path.append(name)
            name = came_from[name]
        return path


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph ready to run, and the shape of its result: any nesting of values and task outputs."""

    graph: Graph
    returns: Any


def recording_graph() -> Graph | None:
    """Return the graph that calls of tasks are added to, or None if calling a task runs it."""
    return _recording.get()


def not_recording() -> AbstractContextManager[None]:
    """While the context is open, calling a task runs it, as inside another task."""
    return Holding({_recording: None}, None)
