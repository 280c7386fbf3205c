"""``with DAG(...) as dag``: a flow whose graph is made once, when its file is imported.

Parameters are not known then, so arguments refer to them by templates (see ``dagy.templates``), which are rendered
for each run before its first task starts.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Self

from dagy.errors import GraphError, ParameterError
from dagy.flows import DEFAULT_VERSION, Flow, parameter_problem
from dagy.graph import Graph, Plan
from dagy.nested import leaves
from dagy.spec import ParameterSpec
from dagy.templates import parameters_in, render


class DAG(Flow):
    """A flow made by the calls of tasks in a ``with`` block. ``parameters`` gives defaults to some of them.

    Its result is what :meth:`returns` was given; else the value of the only task that nothing waits for, or if
    there are several, a dict of their values by task name.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = DEFAULT_VERSION,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        fail_fast: bool = True,
        max_workers: int | None = None,
    ) -> None:
        module = sys._getframe(1).f_globals.get("__name__", "")
        super().__init__(
            name,
            version=version,
            module=module,
            description=description,
            fail_fast=fail_fast,
            max_workers=max_workers,
        )
        self.defaults = dict(parameters or {})
        self.graph = Graph(name)
        self._recording: AbstractContextManager[Graph] | None = None
        self._returns: tuple[Any] | None = None

    def __enter__(self) -> Self:
        if self._recording is not None:
            raise GraphError(f"DAG {self.name!r} is already open")
        self._recording = self.graph.recording()
        self._recording.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.__exit__(kind, error, traceback)

    def returns(self, output: Any) -> None:
        """Declare the result: a task's output, or a list, tuple or dict with outputs in it."""
        self.graph.names_in(output)  # refuses another flow's outputs
        self._returns = (output,)

    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Return the parameters that templates refer to, and those with a default."""
        names = [*dict.fromkeys([*self._names_in_templates(), *self.defaults])]
        return tuple(
            ParameterSpec(name=name, required=name not in self.defaults, default=self.defaults.get(name))
            for name in names
        )

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check that every template has its parameter. Others are welcome: tasks may read them in other ways."""
        bound = {**self.defaults, **given}
        missing = [name for name in dict.fromkeys(self._names_in_templates()) if name not in bound]
        if missing:
            accepted = [parameter.name for parameter in self.parameters()]
            raise ParameterError(parameter_problem(self.name, missing, [], accepted, given))
        return bound

    def plan(self, parameters: Mapping[str, Any]) -> Plan:
        """Render the templates for this run."""
        try:
            graph = self.graph.with_arguments(partial(render, parameters=parameters))
        except ParameterError as exc:
            raise ParameterError(f"flow {self.name!r}: {exc}") from None
        return Plan(graph, self._result())

    def typical_graph(self) -> Graph:
        """Return the graph: it is the same for every run."""
        return self.graph

    def _names_in_templates(self) -> list[str]:
        arguments = [(node.args, dict(node.kwargs)) for node in self.graph.nodes.values()]
        try:
            return [name for leaf in leaves(arguments) for name in parameters_in(leaf)]
        except ParameterError as exc:
            raise ParameterError(f"flow {self.name!r}: {exc}") from None

    def _result(self) -> Any:
        if self._returns is not None:
            return self._returns[0]
        sinks = {name: self.graph.output(name) for name, below in self.graph.downstream().items() if not below}
        return next(iter(sinks.values()), None) if len(sinks) < 2 else sinks
