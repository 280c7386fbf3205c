"""Flows: what they have in common. ``dagy.function_flows`` and ``dagy.dags`` have the two ways to write one.

A flow turns parameters into a plan; running it is the same for all. The worker calls :meth:`Flow.execute` and gets
a FlowRun; people and tests call :meth:`Flow.run` and get the result, or the original error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dagy.context import RunContext, inside_run
from dagy.errors import GraphError, Terminated
from dagy.events import Listener, SilentListener
from dagy.executor import execute
from dagy.flow_options import FlowOptions
from dagy.graph import Plan
from dagy.hooks import HookQueue, call_hooks
from dagy.importing import file_being_imported
from dagy.spec import ParameterSpec
from dagy.states import FlowRun, completed, failed, running


class Flow(ABC):
    """A named, versioned graph of tasks. ``module`` is where it was written, which is how its file finds it."""

    def __init__(self, name: str, *, module: str, options: FlowOptions) -> None:
        self.name = name
        self.module = module
        self.options = options

    @property
    def version(self) -> str:
        """The version it was given in its file."""
        return self.options.version

    @property
    def description(self) -> str:
        """What it is for."""
        return self.options.description

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
    def typical_plan(self) -> Plan | None:
        """Return the plan of a run with default parameters, or None if only real parameters can tell.

        Raises what the flow's own code raises, and GraphError.
        """

    def accepts(self, parameter: str, value: Any) -> bool:  # noqa: ARG002 - a flow without annotations accepts all
        """Whether a value is of the type that the parameter was declared with, if it was."""
        return True

    def execute(
        self,
        given: Mapping[str, Any],
        *,
        context: RunContext | None = None,
        listener: Listener | None = None,
        max_workers: int | None = None,
        fail_fast: bool | None = None,
    ) -> FlowRun:
        """Run the flow and tell how it went. Raises only what goes wrong before the first task starts; and Terminated
        inside another run, which is told to stop by it.

        ``max_workers`` and ``fail_fast`` override the flow's own for this run.
        """
        self._refuse_while_importing()
        parameters = self.bind(given)
        own = self.options
        chosen = replace(
            own,
            max_workers=own.max_workers if max_workers is None else max_workers,
            fail_fast=own.fail_fast if fail_fast is None else fail_fast,
        )
        context, nested = context or RunContext.local(self.name, parameters), inside_run()
        with context.active():
            finished = self._executed(parameters, context, listener or SilentListener(), chosen, nested=nested)
        if nested and isinstance(finished.error, Terminated):
            raise finished.error  # it is the outer run that was told to stop
        return replace(finished, run_id=context.run_id)

    def run(self, parameters: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Run the flow in this process and return its result. Raises the error of the first task that failed."""
        finished = self.execute({**(parameters or {}), **more})
        if finished.error is not None:
            raise finished.error
        return finished.result

    def run_local(
        self,
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        max_workers: int | None = None,
        fail_fast: bool | None = None,
        **more: Any,
    ) -> FlowRun:
        """Run the flow in this process and return all that came of it: state, result, error and tasks."""
        given = {**(parameters or {}), **more}
        return self.execute(given, max_workers=max_workers, fail_fast=fail_fast)

    def __repr__(self) -> str:
        return f"<flow {self.name!r} {self.version}>"

    def _executed(
        self,
        parameters: Mapping[str, Any],
        context: RunContext,
        listener: Listener,
        options: FlowOptions,
        *,
        nested: bool,
    ) -> FlowRun:
        hooks = HookQueue()
        error: BaseException | None = None
        try:
            call_hooks(options.on_running, context, running())
            finished = execute(self.plan(parameters), context=context, listener=listener, hooks=hooks, options=options)
            error = finished.error
        except BaseException as exc:
            error = exc
            raise
        finally:
            if error is None:
                hooks.post(options.on_completion, context, completed())
            else:
                hooks.post(options.on_failure, context, failed(error=error))
            hooks.finish(stopping=isinstance(error, KeyboardInterrupt), nested=nested)
        return finished

    def _refuse_while_importing(self) -> None:
        if file := file_being_imported():
            raise GraphError(
                f"flow {self.name!r} is run while {file} is imported, so each import would run it: "
                'move the call under `if __name__ == "__main__":`'
            )


def parameter_problem(flow_name: str, problems: list[str], accepted: list[str], given: Mapping[str, Any]) -> str:
    """Return the message of a ParameterError: everything that is wrong, and what was given."""
    takes, gave = ", ".join(accepted) or "none", ", ".join(sorted(map(str, given))) or "none"
    return f"flow {flow_name!r}: {'; '.join(problems)} (it takes: {takes}; given: {gave})"


def missing_and_unknown(missing: list[str], unknown: list[str], accepted: list[str]) -> list[str]:
    """Return what is wrong with the names of parameters, with the nearest name for each that is unknown."""
    problems = [f"parameter {name!r} is missing" for name in missing]
    for name in unknown:
        near = _nearest(name, accepted)
        problems.append(f"parameter {name!r} is unknown" + (f", did you mean {near!r}?" if near else ""))
    return problems


def _nearest(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(str(name), names, n=1)), "")
