"""``@flow``: parameters, results, composition."""

from __future__ import annotations

from collections import defaultdict

import pytest

from dagy import DAG, Flow, State, flow, task
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
        (
            {"start": 1, "stop": 2},
            "parameter 'stop' is unknown, did you mean 'step'. .it takes: start, step; given: start, stop.",
        ),
        ({"start": "1", "step": None}, "start: expected int, got str '1'; parameter step: expected int, got None"),
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


@pytest.mark.parametrize(
    "options",
    [
        *({"name": 3}, {"name": "two words"}, {"version": ""}, {"max_workers": 0}, {"max_workers": "2"}),
        *({"fail_fast": 1}, {"validate_parameters": None}, {"tags": ["a"]}, {"include": 3}, {"description": 3}),
    ],
)
def test_bad_flow_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(options))}=.*: expected"):
        flow(**options)(lambda: None)  # type: ignore[call-overload]


def test_a_bad_hook_of_a_flow_is_refused_with_the_flow_s_name() -> None:
    with pytest.raises(OptionError, match=r"flow 'etl': on_failure: .*: expected a function of \(context, state\)"):
        flow(name="etl", on_failure=lambda: None)(lambda: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(OptionError, match="flow 'etl': on_running='mail': expected a function"):
        DAG("etl", on_running="mail")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"flow 'etl': parameters=.'a'.: expected a dict of names and their defaults"):
        DAG("etl", parameters=["a"])  # type: ignore[arg-type]


def test_async_and_generator_functions_are_no_flows() -> None:
    async def wait() -> None: ...

    with pytest.raises(OptionError, match="flow 'wait': an async or generator function cannot be a flow"):
        flow(wait)


def test_a_task_can_be_a_flow_of_its_own() -> None:
    alone = flow(name="alone", version="2")(add)
    assert (alone.name, alone.version, alone.run(a=1)) == ("alone", "2", 2)
    assert list(alone.execute({"a": 1}).tasks) == ["add"]


def test_run_local_tells_all_and_takes_what_the_flow_has_as_options() -> None:
    finished = arithmetic.run_local(start=1, max_workers=1, fail_fast=False)
    assert (finished.status, finished.result["first"], list(finished.tasks)) == ("SUCCEEDED", 2, ["add", "add-2"])
    assert finished.run_id.startswith("local-")
    assert flow(explode).run_local().status == "FAILED"
    with pytest.raises(OptionError, match="max_workers=0: expected an integer of at least 1"):
        arithmetic.run_local(start=1, max_workers=0)


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


def test_a_task_is_given_what_a_list_or_dict_was_when_it_was_called() -> None:
    @flow
    def running_totals() -> object:
        outputs: list[object] = []
        rows: defaultdict[str, list[object]] = defaultdict(list)
        totals = []
        for number in range(3):
            totals.append([total(outputs), total(rows), total((rows["all"], number))])
            outputs.append(add(number))
            rows["all"].append(number)
        return totals

    assert running_totals.run() == [[0, 0, 0], [1, 0, 1], [3, 1, 3]]


def test_many_tasks_that_are_given_one_list_share_one_copy_of_it() -> None:
    rows, more = [[1, 2], [3]], {"rows": [4]}
    graph = flow(lambda: [total(rows), total(rows), total(more), total(more), rows[0].append(0), total(rows)]).plan({})
    (first,), (second,), (third,), (fourth,), (last,) = (node.args for node in graph.graph.nodes.values())
    assert first is second is not rows
    assert third is fourth is not more
    assert (first, last) == ([[1, 2], [3]], [[1, 2, 0], [3]])
    assert first[1] is last[1]


def test_what_a_task_does_to_a_default_is_not_seen_by_other_runs() -> None:
    @task
    def fill(rows: list[int]) -> list[int]:
        rows.append(1)
        return rows

    def collect(rows: list[int] = []) -> object:  # noqa: B006 - that is what the test is about
        return fill(rows)

    with DAG("literal", parameters={"rows": []}) as dag:
        fill([])
        fill("{{ parameters.rows }}")  # type: ignore[arg-type]

    for each, expected in ((flow(collect), [1]), (dag, {"fill": [1], "fill-2": [1]})):
        assert each.run() == each.run() == expected


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
