"""``with DAG(...) as dag``: a flow whose graph is made once, when its file is imported.

Parameters are not known then, so arguments refer to them by templates (see ``dagy.templates``), which are rendered
for each run before its first task starts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Self

from dagy.checks import check_name
from dagy.errors import GraphError, OptionError, ParameterError
from dagy.flow_options import DEFAULT_VERSION, flow_options
from dagy.flows import Flow, missing_and_unknown, parameter_problem
from dagy.graph import Graph, Plan
from dagy.hooks import Hook
from dagy.nested import Copies, leaves
from dagy.spec import ParameterSpec
from dagy.templates import parameters_in, render


class DAG(Flow):
    """A flow made by the calls of tasks in a ``with`` block. ``parameters`` gives defaults to some of them.

    Its result is what :meth:`returns` was given; else the value of the only task that nothing waits for, or if
    there are several, a dict of their values by task name. The other options are those of ``@flow``.
    """

    def __init__(  # noqa: PLR0913 - where the options are written out
        self,
        name: str,
        *,
        version: str = DEFAULT_VERSION,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        fail_fast: bool = True,
        max_workers: int | None = None,
        on_running: Hook | Sequence[Hook] | None = None,
        on_completion: Hook | Sequence[Hook] | None = None,
        on_failure: Hook | Sequence[Hook] | None = None,
        tags: Mapping[str, str] | None = None,
        include: str | Sequence[str] | None = None,
    ) -> None:
        check_name("flow name", name)
        options = flow_options(
            name,
            version=version,
            description=description,
            fail_fast=fail_fast,
            max_workers=max_workers,
            on_running=on_running,
            on_completion=on_completion,
            on_failure=on_failure,
            tags=tags,
            include=include,
        )
        super().__init__(name, module=sys._getframe(1).f_globals.get("__name__", ""), options=options)
        if parameters is not None and not isinstance(parameters, Mapping):
            raise OptionError(f"flow {name!r}: parameters={parameters!r}: expected a dict of names and their defaults")
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
        if error is None:
            list(self._names_in_templates())  # refuses those that are not understood

    def returns(self, output: Any) -> None:
        """Declare the result: a task's output, or a list, tuple or dict with outputs in it."""
        self.graph.check_result(output)
        self._returns = (output,)

    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Return the parameters that templates refer to, and those with a default."""
        names = [*dict.fromkeys([*self._names_in_templates(), *self.defaults])]
        return tuple(
            ParameterSpec(name=name, required=name not in self.defaults, default=self.defaults.get(name))
            for name in names
        )

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check that every template has its parameter. Others are welcome: tasks may read them in other ways.

        Each run has defaults of its own.
        """
        bound = {**Copies().of(self.defaults), **given}
        missing = [name for name in dict.fromkeys(self._names_in_templates()) if name not in bound]
        if missing:
            accepted = [parameter.name for parameter in self.parameters()]
            problems = missing_and_unknown(missing, [], accepted)
            raise ParameterError(parameter_problem(self.name, problems, accepted, given))
        return bound

    def plan(self, parameters: Mapping[str, Any]) -> Plan:
        """Render the templates for this run."""
        try:
            graph = self.graph.with_arguments(partial(render, parameters=parameters))
        except ParameterError as exc:
            raise ParameterError(f"flow {self.name!r}: {exc}") from None
        return Plan(graph, self._result())

    def typical_plan(self) -> Plan:
        """Return the graph as it was written: it is the same for every run."""
        return Plan(self.graph, self._result())

    def _names_in_templates(self) -> Iterator[str]:
        for node in self.graph.nodes.values():
            try:
                yield from (name for leaf in leaves((node.args, dict(node.kwargs))) for name in parameters_in(leaf))
            except ParameterError as exc:
                raise ParameterError(f"flow {self.name!r}: task {node.name!r}: {exc}") from None

    def _result(self) -> Any:
        if self._returns is not None:
            return self._returns[0]
        sinks = {name: self.graph.output(name) for name, below in self.graph.downstream().items() if not below}
        return next(iter(sinks.values()), None) if len(sinks) < 2 else sinks
