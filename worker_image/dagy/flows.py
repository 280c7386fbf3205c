"""Flows: what they have in common, and the ``@flow`` decorator. ``dagy.dags`` has the other way to write one.

A flow turns parameters into a plan; running it is the same for all. The worker calls :meth:`Flow.execute` and gets
a FlowRun; people and tests call :meth:`Flow.run` and get the result, or the original error.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from dagy.context import RunContext
from dagy.errors import OptionError, ParameterError
from dagy.events import Listener, SilentListener
from dagy.executor import execute
from dagy.graph import Graph, Plan, recording_graph
from dagy.spec import ParameterSpec
from dagy.states import FlowRun

P = ParamSpec("P")
R = TypeVar("R")
DEFAULT_VERSION = "0.0.0"


class Flow(ABC):
    """A named, versioned graph of tasks. ``module`` is where it was written, which is how its file finds it."""

    def __init__(
        self, name: str, *, version: str, module: str, description: str, fail_fast: bool, max_workers: int | None
    ) -> None:
        if not isinstance(name, str) or not name:
            raise OptionError(f"flow name={name!r}: expected a string that is not empty")
        if max_workers is not None and (not isinstance(max_workers, int) or max_workers < 1):
            raise OptionError(f"flow {name!r}: max_workers={max_workers!r}: expected an integer of at least 1")
        self.name = name
        self.version = version
        self.module = module
        self.description = description
        self.fail_fast = fail_fast
        self.max_workers = max_workers

    @abstractmethod
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Return what the flow asks of its caller."""

    @abstractmethod
    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given parameters with defaults filled in. Raises ParameterError if they do not fit."""

    @abstractmethod
    def plan(self, parameters: Mapping[str, Any]) -> Plan:
        """Make the graph for bound parameters."""

    @abstractmethod
    def typical_graph(self) -> Graph | None:
        """Return the graph of a run with default parameters, or None if only real parameters can tell."""

    def execute(
        self, given: Mapping[str, Any], *, context: RunContext | None = None, listener: Listener | None = None
    ) -> FlowRun:
        """Run the flow and tell how it went. Raises only what goes wrong before the first task starts."""
        parameters = self.bind(given)
        with (context or RunContext.local(self.name, parameters)).active():
            return execute(
                self.plan(parameters),
                listener=listener or SilentListener(),
                fail_fast=self.fail_fast,
                max_workers=self.max_workers,
            )

    def run(self, parameters: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Run the flow in this process and return its result. Raises the error of the first task that failed."""
        finished = self.execute({**(parameters or {}), **more})
        if finished.error is not None:
            raise finished.error
        return finished.result

    def __repr__(self) -> str:
        return f"<flow {self.name!r} {self.version}>"


class FunctionFlow(Flow, Generic[P, R]):
    """A flow whose graph is made by calling its function with the parameters of the run."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str,
        version: str,
        description: str,
        fail_fast: bool,
        max_workers: int | None,
    ) -> None:
        super().__init__(
            name,
            version=version,
            module=function.__module__,
            description=description,
            fail_fast=fail_fast,
            max_workers=max_workers,
        )
        self.function = function
        self._signature = inspect.signature(function)
        self._accepted = {p.name: p for p in self._signature.parameters.values() if p.kind is not p.VAR_KEYWORD}
        self._takes_any = len(self._accepted) < len(self._signature.parameters)
        for parameter in self._accepted.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                raise OptionError(f"flow {name!r}: parameter {parameter} can only be given by position, not by name")
        update_wrapper(cast("Callable[..., Any]", self), function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow here; or, inside another flow, make its tasks part of that one."""
        if recording_graph() is not None:
            return self.function(*args, **kwargs)
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise ParameterError(f"flow {self.name!r}: {exc}") from None
        more = {p: bound.arguments.pop(p) for p in list(bound.arguments) if p not in self._accepted}
        return cast("R", self.run({**bound.arguments, **next(iter(more.values()), {})}))

    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Return the function's parameters."""
        return tuple(
            ParameterSpec(name=p.name)
            if p.default is p.empty
            else ParameterSpec(name=p.name, required=False, default=p.default)
            for p in self._accepted.values()
        )

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check the given parameters against the function's signature."""
        required = [p.name for p in self._accepted.values() if p.default is p.empty]
        missing = [name for name in required if name not in given]
        unknown = [] if self._takes_any else [name for name in given if name not in self._accepted]
        if missing or unknown:
            raise ParameterError(parameter_problem(self.name, missing, unknown, list(self._accepted), given))
        defaults = {p.name: p.default for p in self._accepted.values() if p.default is not p.empty}
        return {**defaults, **given}

    def plan(self, parameters: Mapping[str, Any]) -> Plan:
        """Call the function, whose calls of tasks become the graph."""
        graph = Graph(self.name)
        with graph.recording():
            returned = self.function(**parameters)  # type: ignore[call-arg]
        graph.names_in(returned)  # refuses another flow's outputs
        return Plan(graph, returned)

    def typical_graph(self) -> Graph | None:
        """Call the function with its defaults. A flow that needs more than those, or fails on them, has None."""
        if any(parameter.required for parameter in self.parameters()):
            return None
        try:
            return self.plan(self.bind({})).graph
        except Exception:  # noqa: BLE001 - defaults may be there to be refused, by the flow's own code
            return None


@overload
def flow(function: Callable[P, R], /) -> FunctionFlow[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    version: str = DEFAULT_VERSION,
    description: str | None = None,
    fail_fast: bool = True,
    max_workers: int | None = None,
) -> Callable[[Callable[P, R]], FunctionFlow[P, R]]: ...
def flow(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    version: str = DEFAULT_VERSION,
    description: str | None = None,
    fail_fast: bool = True,
    max_workers: int | None = None,
) -> FunctionFlow[P, R] | Callable[[Callable[P, R]], FunctionFlow[P, R]]:
    """Make a flow of a function that calls tasks and returns their outputs.

    ``name`` defaults to the function's, ``description`` to its docstring. ``max_workers`` bounds how many tasks run at
    once; ``fail_fast=False`` lets branches go on that do not wait for a failed task.
    """

    def decorate(function: Callable[P, R]) -> FunctionFlow[P, R]:
        return FunctionFlow(
            function,
            name=name or function.__name__,
            version=version,
            description=(inspect.getdoc(function) or "") if description is None else description,
            fail_fast=fail_fast,
            max_workers=max_workers,
        )

    return decorate if function is None else decorate(function)


def parameter_problem(
    flow_name: str, missing: list[str], unknown: list[str], accepted: list[str], given: Mapping[str, Any]
) -> str:
    """Return the message of a ParameterError: everything that is wrong, and what was given."""
    problems = [f"parameter {name!r} is missing" for name in missing]
    problems += [f"parameter {name!r} is unknown" for name in unknown]
    takes, gave = ", ".join(accepted) or "none", ", ".join(sorted(given)) or "none"
    return f"flow {flow_name!r}: {'; '.join(problems)} (it takes: {takes}; given: {gave})"
