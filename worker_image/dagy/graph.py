"""The graph of a flow: nodes are calls of tasks, edges come from passing one call's output to another.

``Task`` records calls here while a flow is being made; the executor and the flow spec read the result. Nodes
refer to each other by name, and so do outputs, which is why a rendered copy of a graph needs no rewiring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from dagy.errors import CycleError, GraphError
from dagy.nested import leaves, rebuild

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


class TaskOutput:
    """Stands for the value that a task will have. Pass it to other tasks, index it, or return it from the flow."""

    __slots__ = ("_graph", "_path", "task_name")

    def __init__(self, graph: Graph, task_name: str, path: tuple[Any, ...] = ()) -> None:
        self._graph = graph
        self._path = path
        self.task_name = task_name

    def after(self, *others: TaskOutput) -> TaskOutput:
        """Make this task wait for others whose values it does not use."""
        for other in others:
            self._graph.connect(upstream=other, downstream=self)
        return self

    def __rshift__(self, other: TaskOutput) -> TaskOutput:
        other.after(self)
        return other

    def __getitem__(self, key: Any) -> TaskOutput:
        return TaskOutput(self._graph, self.task_name, (*self._path, key))

    def __iter__(self) -> Iterator[Any]:
        self._refuse("iterated over")

    def __bool__(self) -> bool:  # noqa: PLE0304 - it always raises
        self._refuse("tested")

    def __repr__(self) -> str:
        return f"<output of task {self.task_name!r}{''.join(f'[{key!r}]' for key in self._path)}>"

    def belongs_to(self, graph: Graph) -> bool:
        """Whether the task was called in that graph."""
        return self._graph.identity is graph.identity

    def value_in(self, values: Mapping[str, Any]) -> Any:
        """Return what this output stands for, given the values of finished tasks."""
        value = values[self.task_name]
        for key in self._path:
            value = value[key]
        return value

    def _refuse(self, what: str) -> NoReturn:
        raise GraphError(
            f"the output of task {self.task_name!r} cannot be {what} while the flow is being made: "
            "it has no value yet. Do that inside a task."
        )


@dataclass(slots=True)
class Graph:
    """The nodes of one flow, by name and in the order in which they were called."""

    flow_name: str
    nodes: dict[str, Node] = field(default_factory=dict)
    identity: object = field(default_factory=object)
    """Shared by a graph and its rendered copies, so that outputs of one belong to all."""
    _calls: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def recording(self) -> Iterator[Graph]:
        """While the context is open, calling a task adds it to this graph."""
        token = _recording.set(self)
        try:
            yield self
        finally:
            _recording.reset(token)

    def add(self, task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> TaskOutput:
        """Record a call of ``task`` and return its output."""
        upstream = self.names_in((args, dict(kwargs)))
        name = self._unique_name(task.name)
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
        for leaf in leaves(value):
            if not isinstance(leaf, TaskOutput):
                continue
            if not leaf.belongs_to(self):
                raise GraphError(f"flow {self.flow_name!r}: {leaf!r} belongs to another flow")
            found[leaf.task_name] = None
        return tuple(found)

    def downstream(self) -> dict[str, list[str]]:
        """Return for every task the tasks that wait for it."""
        waiting: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for name in node.upstream:
                waiting[name].append(node.name)
        return waiting

    def with_arguments(self, change: Callable[[Any], Any]) -> Graph:
        """Return a copy in which every leaf of every argument is changed."""
        changed = {
            name: replace(node, args=rebuild(node.args, change), kwargs=rebuild(dict(node.kwargs), change))
            for name, node in self.nodes.items()
        }
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


@contextmanager
def not_recording() -> Iterator[None]:
    """While the context is open, calling a task runs it, as inside another task."""
    token = _recording.set(None)
    try:
        yield
    finally:
        _recording.reset(token)
