"""The ``@task`` decorator. Flow authors call it; the graph and the executor use the :class:`Task` it makes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from dagy.checks import check_task_name, hooks_of
from dagy.errors import ArgumentError, GraphError, OptionError
from dagy.graph import recording_graph
from dagy.hooks import Hook
from dagy.nested import leaves
from dagy.options import RetryDelay, TaskOptions
from dagy.outputs import TaskOutput, outputs_in, refuse_hidden
from dagy.signatures import CallSignature
from dagy.templates import has_template

P = ParamSpec("P")
R = TypeVar("R")


class Task(Generic[P, R]):
    """A function that can be a node of a flow. Outside a flow, calling it just calls the function."""

    def __init__(self, function: Callable[P, R], *, name: str, options: TaskOptions) -> None:
        self.function = function
        self.name = name
        self.options = options
        update_wrapper(cast("Callable[..., Any]", self), function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function; or, while a flow is being made, record the call and return its TaskOutput.

        The declared type is the function's own in both cases, so that a flow's body type-checks like plain code.
        Raises GraphError if the call cannot be part of a flow, ArgumentError if the arguments do not fit.
        """
        graph = recording_graph()
        if graph is None:
            self._refuse_outputs(args, kwargs)
            return self.function(*args, **kwargs)
        self._refuse_misplaced(args, kwargs)
        self._check(args, kwargs, is_open=_is_open)
        return cast("R", graph.add(self, args, kwargs))

    def perform(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> R:
        """Call the function with the arguments of a run. Raises ArgumentError if they are not of the declared types."""
        if self.options.validate_parameters:
            self._check(args, kwargs, is_open=lambda _: False)
        return self.function(*args, **kwargs)

    def __reduce__(self) -> str:
        """Pickle a task as its function would be: by its name, for processes that a task starts."""
        return str(getattr(self, "__qualname__", self.name))

    def is_same_as(self, other: Task[..., Any]) -> bool:
        """Whether both were made of the same code, as tasks are that a function makes each time it is called."""
        code, other_code = (getattr(task.function, "__code__", task.function) for task in (self, other))
        return code is other_code or self.function is other.function

    @property
    def place(self) -> str:
        """Where the function was written."""
        code = getattr(self.function, "__code__", None)
        name = getattr(self.function, "__qualname__", self.name)
        return f"{name} ({code.co_filename}, line {code.co_firstlineno})" if code else name

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"

    @cached_property
    def _signature(self) -> CallSignature | None:
        try:
            return CallSignature(self.function)
        except ValueError:  # some functions written in C do not tell
            return None

    def _check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, is_open: Callable[[Any], bool]) -> None:
        """Check the arguments; those that are open, because they hold what only a run can tell, by name alone."""
        if self._signature is None:
            return
        try:
            arguments = self._signature.bind(args, kwargs)
        except TypeError as exc:
            raise ArgumentError(f"task {self.name!r}: {exc}") from None
        if self.options.validate_parameters:
            known = {name: value for name, value in arguments.items() if not is_open(value)}
            if problems := list(self._signature.misfits(known)):
                raise ArgumentError(f"task {self.name!r}: {'; '.join(problems)}")

    def _refuse_outputs(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        for output in outputs_in((args, dict(kwargs))):
            raise GraphError(
                f"task {self.name!r} was given the {output.label}, but is called outside of flow "
                f"{output.flow_name!r}: move the call into its `with` block or function"
            )

    def _refuse_misplaced(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        refuse_hidden((args, dict(kwargs)), f"task {self.name!r}")
        for leaf in leaves((args, dict(kwargs))):
            if isinstance(leaf, Task):
                raise GraphError(
                    f"task {self.name!r} was given {leaf!r} itself, not its output: call it, {leaf.name}(...)"
                )


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    executor: str | None = None,
    retries: int = 0,
    retry_delay_seconds: RetryDelay = None,
    retry_jitter_factor: float | None = None,
    timeout_seconds: float | None = None,
    concurrency_limit: int | None = None,
    validate_parameters: bool = True,
    on_running: Hook | Sequence[Hook] | None = None,
    on_completion: Hook | Sequence[Hook] | None = None,
    on_failure: Hook | Sequence[Hook] | None = None,
    on_retry: Hook | Sequence[Hook] | None = None,
    retry_condition_fn: Callable[[BaseException], object] | None = None,
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
    executor: str | None = None,
    retries: int = 0,
    retry_delay_seconds: RetryDelay = None,
    retry_jitter_factor: float | None = None,
    timeout_seconds: float | None = None,
    concurrency_limit: int | None = None,
    validate_parameters: bool = True,
    on_running: Hook | Sequence[Hook] | None = None,
    on_completion: Hook | Sequence[Hook] | None = None,
    on_failure: Hook | Sequence[Hook] | None = None,
    on_retry: Hook | Sequence[Hook] | None = None,
    retry_condition_fn: Callable[[BaseException], object] | None = None,
    cpu: int | None = None,
    memory: int | None = None,
    tags: Mapping[str, str] | None = None,
) -> Task[P, R] | Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of a function, bare (``@task``) or with options (``@task(retries=2)``).

    ``name`` defaults to the function's, ``description`` to the first line of its docstring.

    A failed or timed-out attempt is repeated up to ``retries`` times, if ``retry_condition_fn`` (called with the
    exception) says so, after ``retry_delay_seconds``: none, a number, a list with one value per retry of which the last
    repeats, or a function that makes such a list from the number of retries. ``retry_jitter_factor`` adds up to that
    share of the delay, at random. ``timeout_seconds`` bounds each attempt.

    At most ``concurrency_limit`` tasks of this name run at once. ``validate_parameters`` checks arguments against the
    function's annotations.

    Hooks are functions of a RunContext and a State, one or a list: ``on_running`` is called before each attempt,
    ``on_retry`` before that of each but the first, ``on_completion`` and ``on_failure`` once the task has ended.

    ``cpu`` (units), ``memory`` (MiB), ``executor`` ("ecs", "lambda", "step-functions") and ``tags`` are kept in the
    flow spec, for a task that runs as an ECS task of its own.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        if not callable(function):
            raise OptionError(f"@task: {function!r} is not a function; options have names, as in @task(retries=2)")
        chosen = str(getattr(function, "__name__", type(function).__name__)) if name is None else name
        try:
            _check_function(function)
            check_task_name(chosen)
            options = TaskOptions(
                description=_first_line(function) if description is None else description,
                executor=executor,
                retries=retries,
                retry_delay_seconds=retry_delay_seconds,
                retry_jitter_factor=retry_jitter_factor,
                timeout_seconds=timeout_seconds,
                concurrency_limit=concurrency_limit,
                validate_parameters=validate_parameters,
                on_running=hooks_of("on_running", on_running),
                on_completion=hooks_of("on_completion", on_completion),
                on_failure=hooks_of("on_failure", on_failure),
                on_retry=hooks_of("on_retry", on_retry),
                retry_condition_fn=retry_condition_fn,
                cpu=cpu,
                memory=memory,
                tags={} if tags is None else tags,
            )
        except OptionError as exc:
            raise OptionError(f"task {chosen!r}: {exc}") from exc.__cause__
        return Task(function, name=chosen, options=options)

    return decorate if function is None else decorate(function)


def _check_function(function: Callable[..., Any]) -> None:
    if isinstance(function, Task):
        raise OptionError("it is a task already: remove one of the decorators")
    if inspect.iscoroutinefunction(function):
        raise OptionError("an async function cannot be a task; call asyncio.run inside one")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise OptionError("a generator cannot be a task, as others could read it once only; return a list")


def _first_line(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _is_open(argument: Any) -> bool:
    """Tell whether an argument holds outputs or templates."""
    return any(isinstance(leaf, TaskOutput) or has_template(leaf) for leaf in leaves(argument))
