"""The ``@task`` decorator. Flow authors call it; the graph and the executor use the :class:`Task` it makes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from dagy.errors import GraphError, OptionError
from dagy.graph import recording_graph
from dagy.options import TaskOptions

P = ParamSpec("P")
R = TypeVar("R")


class Task(Generic[P, R]):
    """A function that can be a node of a flow. Outside a flow, calling it just calls the function."""

    def __init__(self, function: Callable[P, R], *, name: str, options: TaskOptions) -> None:
        if inspect.iscoroutinefunction(function):
            raise OptionError(f"task {name!r}: an async function cannot be a task; call asyncio.run inside one")
        self.function = function
        self.name = name
        self.options = options
        update_wrapper(cast("Callable[..., Any]", self), function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function; or, while a flow is being made, record the call and return its TaskOutput.

        The declared type is the function's own in both cases, so that a flow's body type-checks like plain code.
        """
        graph = recording_graph()
        if graph is None:
            return self.function(*args, **kwargs)
        self._check_arguments(args, kwargs)
        return cast("R", graph.add(self, args, kwargs))

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"

    @cached_property
    def _signature(self) -> inspect.Signature | None:
        try:
            return inspect.signature(self.function)
        except ValueError:  # some functions written in C do not tell
            return None

    def _check_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self._signature is None:
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise GraphError(f"task {self.name!r}: {exc}") from None


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    retries: int = 0,
    retry_delay_seconds: float | Sequence[float] | None = None,
    timeout_seconds: float | None = None,
    cpu: int | None = None,
    memory: int | None = None,
    tags: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(  # noqa: PLR0913 - the decorator is where the options are written out
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    retries: int = 0,
    retry_delay_seconds: float | Sequence[float] | None = None,
    timeout_seconds: float | None = None,
    cpu: int | None = None,
    memory: int | None = None,
    tags: Mapping[str, str] | None = None,
) -> Task[P, R] | Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of a function, bare (``@task``) or with options (``@task(retries=2)``).

    ``name`` defaults to the function's, ``description`` to the first line of its docstring. A failed or timed-out
    attempt is repeated up to ``retries`` times, after ``retry_delay_seconds``: a number, or a list with one value
    per retry of which the last repeats. ``cpu`` (units), ``memory`` (MiB) and ``tags`` matter when the task runs
    as an ECS task of its own.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        chosen = name or function.__name__
        try:
            options = TaskOptions(
                description=_first_line(function) if description is None else description,
                retries=retries,
                retry_delay_seconds=retry_delay_seconds,
                timeout_seconds=timeout_seconds,
                cpu=cpu,
                memory=memory,
                tags=tags or {},
            )
        except OptionError as exc:
            raise OptionError(f"task {chosen!r}: {exc}") from None
        return Task(function, name=chosen, options=options)

    return decorate if function is None else decorate(function)


def _first_line(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]
