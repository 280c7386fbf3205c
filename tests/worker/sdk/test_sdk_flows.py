"""``@flow``: parameters, results, composition."""

from __future__ import annotations

import pytest

from dagy import Flow, State, flow, task
from dagy.errors import GraphError, OptionError, ParameterError


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def total(numbers: object) -> int:
    values = numbers.values() if isinstance(numbers, dict) else numbers
    return sum(sum(v) if isinstance(v, list | tuple) else v for v in values)  # type: ignore[attr-defined]


@task
def explode() -> None:
    raise ValueError("boom")


@flow(version="1.2.3")
def arithmetic(start: int, step: int = 1) -> object:
    """Add a few numbers."""
    first = add(start, step)
    return {"first": first, "both": [first, add(first, b=step)], "step": step}


def test_a_flow_has_the_name_version_and_description_it_was_given() -> None:
    assert isinstance(arithmetic, Flow)
    assert (arithmetic.name, arithmetic.version, arithmetic.description) == (
        "arithmetic",
        "1.2.3",
        "Add a few numbers.",
    )
    assert flow(name="other")(lambda: None).name == "other"
    assert flow(lambda: None).version == "0.0.0"


def test_the_result_has_the_shape_that_the_flow_returned() -> None:
    assert arithmetic.run(start=1, step=2) == {"first": 3, "both": [3, 5], "step": 2}


def test_parameters_come_as_a_mapping_or_as_keywords() -> None:
    assert arithmetic.run({"start": 1}, step=3)["first"] == 4


def test_calling_a_flow_runs_it() -> None:
    assert arithmetic(1, step=2) == arithmetic.run(start=1, step=2)


def test_a_flow_that_returns_nothing_has_the_result_none() -> None:
    @flow
    def quiet() -> None:
        add(1)

    assert quiet.run() is None


def test_outputs_may_be_nested_in_arguments() -> None:
    @flow
    def nested() -> object:
        a, b = add(1), add(2)
        return total([total([a, b]), total({"x": a, "y": (b, 10)})])

    assert nested.run() == (2 + 3) + (2 + 3 + 10)


def test_outputs_can_be_indexed_but_not_looked_into() -> None:
    @task
    def pair() -> dict[str, list[int]]:
        return {"numbers": [10, 20]}

    @flow
    def indexed() -> object:
        return add(pair()["numbers"][1])

    @flow
    def tested() -> object:
        return 1 if add(1) else 2

    @flow
    def unpacked() -> object:
        first, _ = pair()
        return first

    assert indexed.run() == 21
    with pytest.raises(GraphError, match="output of task 'add' cannot be tested while the flow is being made"):
        tested.run()
    with pytest.raises(GraphError, match="output of task 'pair' cannot be iterated over"):
        unpacked.run()


def test_an_index_that_the_value_does_not_have_fails_the_task_that_uses_it() -> None:
    @flow
    def wrong() -> object:
        return add(total([])["missing"])  # type: ignore[index]

    finished = wrong.execute({})
    assert finished.failed_task == "add"
    assert isinstance(finished.error, TypeError)


def test_a_flow_called_inside_a_flow_becomes_part_of_it() -> None:
    @flow
    def outer() -> object:
        return add(arithmetic(1)["first"])

    finished = outer.execute({})
    assert finished.result == 3
    assert list(finished.tasks) == ["add", "add-2", "add-3"]


def test_a_task_called_by_a_task_just_runs() -> None:
    @task
    def outer_task() -> int:
        return add(1) + add(2)

    @flow
    def shallow() -> object:
        return outer_task()

    finished = shallow.execute({})
    assert (finished.result, list(finished.tasks)) == (5, ["outer_task"])


def test_a_flow_run_by_a_task_or_by_another_flow_s_body_is_a_run_of_its_own() -> None:
    @task
    def inner_run() -> int:
        return int(arithmetic.run(start=1)["first"])

    @flow
    def outer() -> object:
        return [inner_run(), arithmetic.run(start=5)["first"]]

    finished = outer.execute({})
    assert (finished.result, list(finished.tasks)) == ([2, 6], ["inner_run"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "flow 'arithmetic': parameter 'start' is missing .it takes: start, step; given: none."),
        ({"start": 1, "stop": 2}, "parameter 'stop' is unknown .it takes: start, step; given: start, stop."),
        ({"stop": 2}, "parameter 'start' is missing; parameter 'stop' is unknown"),
    ],
)
def test_parameters_that_do_not_fit_are_named(given: dict[str, int], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        arithmetic.run(given)


def test_a_call_whose_arguments_do_not_fit_is_refused_by_name() -> None:
    with pytest.raises(ParameterError, match="flow 'arithmetic': missing a required argument: 'start'"):
        arithmetic()  # type: ignore[call-arg]


def test_a_flow_may_take_any_parameters() -> None:
    @flow
    def open_to_all(a: int, **more: int) -> object:
        return [a, more]

    assert open_to_all.run(a=1, b=2) == [1, {"b": 2}]
    assert open_to_all(1, b=2, c=3) == [1, {"b": 2, "c": 3}]
    assert [p.name for p in open_to_all.parameters()] == ["a"]


def test_parameters_without_names_are_refused() -> None:
    def positional(*args: int) -> None: ...

    with pytest.raises(OptionError, match=r"flow 'positional': parameter .args.* can only be given by position"):
        flow(positional)


@pytest.mark.parametrize("options", [{"name": 3}, {"max_workers": 0}, {"max_workers": "2"}])
def test_bad_flow_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(options))}=.*: expected"):
        flow(**options)(lambda: None)  # type: ignore[call-overload]


def test_run_raises_the_original_error_and_execute_returns_it() -> None:
    @flow
    def failing() -> object:
        return explode()

    with pytest.raises(ValueError, match="boom"):
        failing.run()
    finished = failing.execute({})
    assert finished.state is State.FAILED
    assert finished.failed_task == "explode"
    assert finished.result is None


def test_an_output_of_another_flow_is_refused() -> None:
    kept: list[int] = []

    @flow
    def first() -> object:
        kept.append(add(1))
        return kept[0]

    first.run()
    with pytest.raises(GraphError, match="flow 'second': <output of task 'add'> belongs to another flow"):
        flow(name="second")(lambda: add(kept[0])).run()
    with pytest.raises(GraphError, match="flow 'third'"):
        flow(name="third")(lambda: [kept[0]]).run()
