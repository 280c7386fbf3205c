"""The ``@task`` decorator and its options."""

from __future__ import annotations

import pytest

from dagy import Task, TaskOutput, flow, task
from dagy.errors import GraphError, OptionError
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

    with pytest.raises(GraphError, match="task 'double': missing a required argument: 'x'"):
        wrong.run()


def test_a_function_without_a_signature_can_be_a_task() -> None:
    largest = task(max)

    @flow
    def find() -> object:
        return largest(3, 5)

    assert find.run() == 5


def test_an_async_function_is_refused_with_advice() -> None:
    async def fetch() -> None: ...

    with pytest.raises(OptionError, match=r"task 'fetch': an async function.*asyncio\.run"):
        task(fetch)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("retries", -1, "an integer of at least 0"),
        ("retries", 1.5, "an integer of at least 0"),
        ("retries", True, "an integer of at least 0"),
        ("timeout_seconds", 0, "a number above 0"),
        ("timeout_seconds", float("inf"), "a number above 0"),
        ("retry_delay_seconds", -1, "a number of at least 0, or a list"),
        ("retry_delay_seconds", [], "a number of at least 0, or a list"),
        ("retry_delay_seconds", [1, "2"], "a number of at least 0, or a list"),
        ("retry_delay_seconds", "1", "a number of at least 0, or a list"),
        ("cpu", 0, "an integer above 0"),
        ("memory", "2048", "an integer above 0"),
        ("tags", ["a"], "a mapping of strings to strings"),
        ("tags", {"a": 1}, "a string for both key and value"),
    ],
)
def test_a_bad_option_is_refused_naming_task_option_value_and_what_is_allowed(
    option: str, value: object, expected: str
) -> None:
    with pytest.raises(OptionError, match=f"task 'double': {option}.*: expected {expected}"):
        task(**{option: value})(double.function)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("delay", "expected"), [(None, [0, 0, 0]), (3, [3, 3, 3]), ([1, 2], [1, 2, 2]), ((0.5,), [0.5, 0.5, 0.5])]
)
def test_the_last_of_the_retry_delays_repeats(delay: object, expected: list[float]) -> None:
    options = TaskOptions(retry_delay_seconds=delay)  # type: ignore[arg-type]
    assert [options.delay_before_retry(retry) for retry in (1, 2, 3)] == expected
