"""What a call of a task returns while a flow is being made: a stand-in for the value that the task will have.

Flow authors pass it on, index it, or return it. It refuses everything that would need the value, with advice, because
Python would otherwise do something surprising: take a branch, or write the stand-in's own name into a string.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from dagy.context import current_task
from dagy.errors import GraphError, OutputError
from dagy.nested import leaves, out_of_reach

if TYPE_CHECKING:
    from dagy.graph import Graph


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
            if not isinstance(other, TaskOutput):
                raise GraphError(f"{self!r} cannot wait for {other!r}: expected the output of a task, so call the task")
            self._graph.connect(upstream=other, downstream=self)
        return self

    def __rshift__(self, other: TaskOutput) -> TaskOutput:
        if not isinstance(other, TaskOutput):
            raise GraphError(f"{other!r} cannot wait for {self!r}: expected the output of a task, so call the task")
        other.after(self)
        return other

    def __getitem__(self, key: Any) -> TaskOutput:
        if current_task():
            self._refuse("cannot be indexed")
        if isinstance(key, TaskOutput):
            raise GraphError(f"{self!r} cannot be indexed with {key!r}: index it in a task that is given both")
        return TaskOutput(self._graph, self.task_name, (*self._path, key))

    def __repr__(self) -> str:
        return f"<{self.label}>"

    def __getattr__(self, name: str) -> NoReturn:
        self._refuse(f"has no attribute {name!r}")

    def __eq__(self, other: object) -> bool:
        return self is other if isinstance(other, TaskOutput) else self._refuse("cannot be compared")

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        self._refuse("cannot be put into a string")

    def belongs_to(self, graph: Graph) -> bool:
        """Whether the task was called in that graph."""
        return self._graph.identity is graph.identity

    def value_in(self, values: Mapping[str, Any]) -> Any:
        """Return what this output stands for, given the values of finished tasks."""
        value = values[self.task_name]
        try:
            for key in self._path:
                value = value[key]
        except Exception as exc:
            exc.add_note(f"while looking up the {self.label}")
            raise
        return value

    @property
    def label(self) -> str:
        """What messages call it: ``output of task 'extract'['rows']``."""
        return f"output of task {self.task_name!r}{''.join(f'[{key!r}]' for key in self._path)}"

    @property
    def flow_name(self) -> str:
        """Name of the flow that the task was called in."""
        return self._graph.flow_name

    def _refuse(self, what: str) -> NoReturn:
        if task := current_task():
            raise OutputError(
                f"the {self.label} {what} in task {task!r}, which was not given it: pass it as an argument"
            )
        raise OutputError(
            f"the {self.label} {what} while the flow is being made: it has no value yet. "
            "Do that inside a task that is given the output as an argument"
        )


def _refusing(what: str) -> Callable[..., Any]:
    def method(self: TaskOutput, *_: object) -> NoReturn:
        self._refuse(what)

    return method


_REFUSED = {
    "tested": ["bool"],
    "iterated over": ["iter", "reversed"],
    "looked into": ["len", "contains"],
    "changed": ["setitem", "delitem"],
    "called": ["call"],
    "entered": ["enter", "exit"],
    "compared": ["lt", "le", "gt", "ge"],
    "computed with": [
        *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv", "mod", "rmod"),
        *("pow", "rpow", "matmul", "rmatmul", "and", "rand", "or", "ror", "neg", "pos", "abs", "invert"),
        *("int", "float", "index", "round"),
    ],
}
for _what, _operators in _REFUSED.items():
    for _operator in _operators:
        setattr(TaskOutput, f"__{_operator}__", _refusing(f"cannot be {_what}"))


def outputs_in(value: Any) -> Iterator[TaskOutput]:
    """Yield the outputs inside ``value`` that are replaced by their values in a run."""
    return (leaf for leaf in leaves(value) if isinstance(leaf, TaskOutput))


def refuse_hidden(value: Any, owner: str) -> None:
    """Refuse outputs that cannot be replaced, because of where they are inside ``value``."""
    for item in out_of_reach(value):
        if isinstance(item, TaskOutput):
            raise GraphError(
                f"{owner}: the {item.label} is inside a set, a dataclass or the key of a dict, "
                "where it cannot be replaced by the value: pass it in a list, a tuple or as the value of a dict"
            )
