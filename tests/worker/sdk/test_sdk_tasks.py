"""The ``@task`` decorator and its options."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from dagy import RunContext, State, Task, TaskOutput, flow, task
from dagy.errors import ArgumentError, OptionError
from dagy.options import TaskOptions


@task
def double(x: int) -> int:
    """Return twice the number.

    And nothing else.
    """
    return 2 * x


def test_a_task_called_outside_a_flow_just_runs() -> None:
    assert double(21) == 42


def test_a_task_keeps_the_name_and_documentation_of_its_function() -> None:
    assert isinstance(double, Task)
    assert (double.name, double.__name__, double.options.description) == (
        "double",
        "double",
        "Return twice the number.",
    )
    assert "And nothing else" in (double.__doc__ or "")


def test_a_task_is_handed_to_other_processes_by_its_name() -> None:
    assert pickle.loads(pickle.dumps([double])) == [double]  # noqa: S301 - our own
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(task(lambda: None))


def test_options_are_kept_with_the_task() -> None:
    @task(name="other", description="why", retries=2, retry_delay_seconds=[1, 5], cpu=512, memory=1024, tags={"a": "b"})
    def function() -> None: ...

    assert function.name == "other"
    assert function.options.as_json() == {
        "description": "why",
        "retries": 2,
        "retry_delay_seconds": [1, 5],
        "cpu": 512,
        "memory": 1024,
        "tags": {"a": "b"},
    }


def test_options_at_their_defaults_are_not_written_out() -> None:
    assert TaskOptions().as_json() == {}


def test_a_task_called_inside_a_flow_returns_its_output() -> None:
    seen: list[object] = []

    @flow
    def one() -> object:
        seen.append(double(1))
        return seen[0]

    assert one.run() == 2
    assert isinstance(seen[0], TaskOutput)
    assert repr(seen[0]) == "<output of task 'double'>"


def test_wrong_arguments_are_reported_where_the_flow_makes_the_call() -> None:
    @flow
    def wrong() -> object:
        return double(y=1)  # type: ignore[call-arg]

    with pytest.raises(
        ArgumentError, match=r"task 'double': missing a required argument: 'x'. It is called as double\(x\)"
    ):
        wrong.run()


def test_a_function_without_a_signature_can_be_a_task() -> None:
    largest = task(max)

    @flow
    def find() -> object:
        return largest(3, 5)

    assert find.run() == 5


def test_functions_that_cannot_be_tasks_are_refused_with_advice() -> None:
    async def fetch() -> None: ...

    def rows() -> Iterator[int]:
        yield 1

    with pytest.raises(OptionError, match=r"task 'fetch': an async function.*asyncio\.run"):
        task(fetch)
    with pytest.raises(OptionError, match=r"task 'rows': a generator cannot be a task.*return a list"):
        task(rows)
    with pytest.raises(OptionError, match="task 'double': it is a task already"):
        task(double)
    with pytest.raises(OptionError, match=r"@task: 'extract' is not a function; options have names"):
        task("extract")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("retries", -1, "an integer of at least 0"),
        ("retries", 1.5, "an integer of at least 0"),
        ("retries", True, "an integer of at least 0"),
        ("timeout_seconds", 0, "a number above 0"),
        ("timeout_seconds", float("inf"), "a number above 0"),
        ("retries", None, "an integer of at least 0"),
        ("retry_delay_seconds", -1, "a number of at least 0, a list"),
        ("retry_delay_seconds", [], "a number of at least 0, a list"),
        ("retry_delay_seconds", [1, "2"], "a number of at least 0, a list"),
        ("retry_delay_seconds", "1", "a number of at least 0, a list"),
        ("retry_jitter_factor", -0.5, "a number of at least 0"),
        ("retry_condition_fn", True, "a function of the exception"),
        ("retry_condition_fn", lambda: True, "a function of the exception"),
        ("concurrency_limit", 0, "an integer of at least 1"),
        ("validate_parameters", "no", "True or False"),
        ("executor", "mars", "one of ecs, lambda, step-functions"),
        ("description", 7, "a string"),
        ("cpu", 0, "an integer of at least 1"),
        ("memory", "2048", "an integer of at least 1"),
        ("on_failure", "notify", r"a function of \(context, state\), or a list"),
        ("on_retry", [lambda: None], r"a function of \(context, state\)"),
        ("on_running", [3], r"a function of \(context, state\)"),
        ("tags", ["a"], "a mapping of strings to strings"),
        ("tags", {"a": 1}, "a string for both key and value"),
    ],
)
def test_a_bad_option_is_refused_naming_task_option_value_and_what_is_allowed(
    option: str, value: object, expected: str
) -> None:
    with pytest.raises(OptionError, match=f"task 'double': {option}.*: expected {expected}"):
        task(**{option: value})(double.function)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["", "x" * 129, "two\nlines", 3])
def test_a_bad_name_is_refused(name: object) -> None:
    with pytest.raises(OptionError, match=r"name=.*: expected 1 to 128 printable characters"):
        task(name=name)(double.function)  # type: ignore[call-overload]


def test_every_option_is_kept_with_the_task_and_those_that_are_values_in_the_spec() -> None:
    def hook(context: RunContext, state: State) -> None: ...

    def is_passing(_error: BaseException) -> bool:
        return True

    @task(
        name="all",
        description="everything",
        executor="ecs",
        retries=3,
        retry_delay_seconds=lambda retries: [2**n for n in range(retries)],
        retry_jitter_factor=0.5,
        timeout_seconds=60,
        concurrency_limit=2,
        validate_parameters=False,
        on_running=hook,
        on_completion=[hook],
        on_failure=[hook, hook],
        on_retry=(hook,),
        retry_condition_fn=is_passing,
        cpu=256,
        memory=512,
        tags={"team": "data"},
    )
    def function() -> None: ...

    options = function.options
    assert options.as_json() == {
        "description": "everything",
        "executor": "ecs",
        "retries": 3,
        "retry_delay_seconds": [1, 2, 4],
        "retry_jitter_factor": 0.5,
        "timeout_seconds": 60,
        "concurrency_limit": 2,
        "validate_parameters": False,
        "cpu": 256,
        "memory": 512,
        "tags": {"team": "data"},
    }
    assert (options.on_running, options.on_failure, options.on_retry) == ((hook,), (hook, hook), (hook,))
    assert options.retry_condition_fn is is_passing


@pytest.mark.parametrize(
    ("delay", "expected"),
    [(None, [0, 0, 0]), (3, [3, 3, 3]), ([1, 2], [1, 2, 2]), ((0.5,), [0.5, 0.5, 0.5]), (lambda n: [n, 9], [3, 9, 9])],
)
def test_the_last_of_the_retry_delays_repeats(delay: object, expected: list[float]) -> None:
    options = TaskOptions(retries=3, retry_delay_seconds=delay)  # type: ignore[arg-type]
    assert [options.delay_before_retry(retry) for retry in (1, 2, 3)] == expected


def test_jitter_adds_up_to_its_share_of_the_delay() -> None:
    options = TaskOptions(retries=1, retry_delay_seconds=10, retry_jitter_factor=0.5)
    delays = [options.delay_before_retry(1) for _ in range(200)]
    assert all(10 <= delay < 15 for delay in delays)
    assert max(delays) - min(delays) > 1


def test_a_function_that_cannot_make_delays_is_refused_with_its_error() -> None:
    with pytest.raises(OptionError, match=r"task 'double': retry_delay_seconds: .* retries=2: ZeroDivisionError"):
        task(retries=2, retry_delay_seconds=lambda n: [n / 0])(double.function)
    with pytest.raises(OptionError, match=r"retry_delay_seconds=.*: expected a number"):
        task(retries=2, retry_delay_seconds=lambda _: [-1])(double.function)
    with pytest.raises(OptionError, match="TypeError: 'int' object is not iterable"):
        task(retries=2, retry_delay_seconds=lambda n: n)(double.function)  # type: ignore[call-overload]
