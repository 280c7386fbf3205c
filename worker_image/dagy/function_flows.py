"""The ``@flow`` decorator: a flow whose graph is made anew for each run, by calling its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from dagy.checks import check_name
from dagy.errors import ArgumentError, GraphError, OptionError, ParameterError
from dagy.flow_options import DEFAULT_VERSION, FlowOptions, flow_options
from dagy.flows import Flow, missing_and_unknown, parameter_problem
from dagy.graph import Graph, Plan, recording_graph
from dagy.hooks import Hook
from dagy.nested import Copies, leaves
from dagy.signatures import CallSignature
from dagy.spec import ParameterSpec
from dagy.templates import has_template

P = ParamSpec("P")
R = TypeVar("R")


class FunctionFlow(Flow, Generic[P, R]):
    """A flow whose graph is made by calling its function with the parameters of the run."""

    def __init__(self, function: Callable[P, R], *, name: str, options: FlowOptions) -> None:
        super().__init__(name, module=function.__module__, options=options)
        self.function = function
        self._signature = CallSignature(function)
        parameters = self._signature.parameters.values()
        self._accepted = {p.name: p for p in parameters if p.kind is not p.VAR_KEYWORD}
        self._takes_any = len(self._accepted) < len(self._signature.parameters)
        for parameter in self._accepted.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                raise OptionError(f"flow {name!r}: parameter {parameter} can only be given by position, not by name")
        update_wrapper(cast("Callable[..., Any]", self), function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow here; or, inside another flow, make its tasks part of that one."""
        if recording_graph() is not None:
            self._bound(args, kwargs, ArgumentError)
            return self.function(*args, **kwargs)
        arguments = self._bound(args, kwargs, ParameterError)
        more = {p: arguments.pop(p) for p in list(arguments) if p not in self._accepted}
        return cast("R", self.run({**arguments, **next(iter(more.values()), {})}))

    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Return the function's parameters."""
        return tuple(
            ParameterSpec(
                name=p.name,
                required=p.default is p.empty,
                default=None if p.default is p.empty else p.default,
                type=self._signature.annotation(p.name),
            )
            for p in self._accepted.values()
        )

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check names and types against the function's signature and fill in defaults, each run's its own."""
        accepted = list(self._accepted)
        defaults = {p.name: p.default for p in self._accepted.values() if p.default is not p.empty}
        missing = [name for name in accepted if name not in given and name not in defaults]
        unknown = [] if self._takes_any else [name for name in given if name not in self._accepted]
        problems = missing_and_unknown(missing, unknown, accepted)
        if self.options.validate_parameters:
            known = {name: value for name, value in given.items() if name in self._accepted}
            problems += [f"parameter {problem}" for problem in self._signature.misfits(known)]
        if problems:
            raise ParameterError(parameter_problem(self.name, problems, accepted, given))
        return {**Copies().of(defaults), **given}

    def accepts(self, parameter: str, value: Any) -> bool:
        """Whether a value fits the annotation of the parameter."""
        return parameter not in self._accepted or not list(self._signature.misfits({parameter: value}))

    def plan(self, parameters: Mapping[str, Any]) -> Plan:
        """Call the function, whose calls of tasks become the graph."""
        graph = Graph(self.name)
        try:
            with graph.recording():
                returned = self.function(**parameters)  # type: ignore[call-arg]
        except SystemExit as exc:
            raise GraphError(f"flow {self.name!r} ends the program (sys.exit): raise an error instead") from exc
        graph.check_result(returned)
        self._refuse_templates(graph, parameters)
        return Plan(graph, returned)

    def typical_plan(self) -> Plan | None:
        """Call the function with its defaults, if it has enough of them."""
        if any(parameter.required for parameter in self.parameters()):
            return None
        return self.plan(self.bind({}))

    def _bound(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], error: type[ArgumentError] | type[ParameterError]
    ) -> dict[str, Any]:
        try:
            return self._signature.bind(args, kwargs)
        except TypeError as exc:
            raise error(f"flow {self.name!r}: {exc}") from None

    def _refuse_templates(self, graph: Graph, parameters: Mapping[str, Any]) -> None:
        """Refuse templates that the function itself wrote: only a ``with DAG(...)`` flow renders them."""
        if any(isinstance(leaf, str) and "{{" in leaf for leaf in leaves(dict(parameters))):
            return  # what looks like a template may come from the caller
        for node in graph.nodes.values():
            for leaf in leaves((node.args, dict(node.kwargs))):
                if has_template(leaf):
                    raise GraphError(
                        f"flow {self.name!r}: task {node.name!r} is given the template {leaf!r}, but templates are for "
                        "`with DAG(...)` flows: use the function's own parameter"
                    )


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
    validate_parameters: bool = True,
    on_running: Hook | Sequence[Hook] | None = None,
    on_completion: Hook | Sequence[Hook] | None = None,
    on_failure: Hook | Sequence[Hook] | None = None,
    tags: Mapping[str, str] | None = None,
    include: str | Sequence[str] | None = None,
) -> Callable[[Callable[P, R]], FunctionFlow[P, R]]: ...
def flow(  # noqa: PLR0913 - the decorator is where the options are written out
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    version: str = DEFAULT_VERSION,
    description: str | None = None,
    fail_fast: bool = True,
    max_workers: int | None = None,
    validate_parameters: bool = True,
    on_running: Hook | Sequence[Hook] | None = None,
    on_completion: Hook | Sequence[Hook] | None = None,
    on_failure: Hook | Sequence[Hook] | None = None,
    tags: Mapping[str, str] | None = None,
    include: str | Sequence[str] | None = None,
) -> FunctionFlow[P, R] | Callable[[Callable[P, R]], FunctionFlow[P, R]]:
    """Make a flow of a function that calls tasks and returns their outputs.

    ``name`` defaults to the function's, ``description`` to its docstring. ``max_workers`` bounds how many tasks run at
    once; ``fail_fast=False`` lets branches go on that do not wait for a failed task. ``validate_parameters`` checks a
    run's parameters against the function's annotations. Hooks are functions of a RunContext and a State, one or a list,
    called when a run starts, has succeeded, or has failed. ``tags`` are kept in the flow spec; ``include`` has glob
    patterns of files beside the flow's own that belong into the artifact though nothing imports them.
    """

    def decorate(function: Callable[P, R]) -> FunctionFlow[P, R]:
        chosen = _checked_name(function, name)
        options = flow_options(
            chosen,
            version=version,
            description=(inspect.getdoc(function) or "") if description is None else description,
            fail_fast=fail_fast,
            max_workers=max_workers,
            validate_parameters=validate_parameters,
            on_running=on_running,
            on_completion=on_completion,
            on_failure=on_failure,
            tags=tags,
            include=include,
        )
        return FunctionFlow(function, name=chosen, options=options)

    return decorate if function is None else decorate(function)


def _checked_name(function: Callable[..., Any], given: str | None) -> str:
    """Return the flow's name. A function's is taken as it is; the build refuses what cannot be registered."""
    if not callable(function) or isinstance(function, Flow):
        raise OptionError(
            f"@flow: {function!r} is not a plain function; a flow's options have names, as in @flow(version='1.0.0')"
        )
    chosen = str(getattr(function, "__name__", function)) if given is None else given
    if given is not None:
        check_name("flow name", given)
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise OptionError(f"flow {chosen!r}: an async or generator function cannot be a flow; write a plain one")
    return chosen
