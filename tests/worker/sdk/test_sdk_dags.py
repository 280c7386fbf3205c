"""``with DAG(...)``: templates, results, order without values."""

from __future__ import annotations

from typing import Any

import pytest

from dagy import DAG, TaskOutput, task
from dagy.errors import CycleError, GraphError, ParameterError


@task
def echo(value: Any) -> Any:
    return value


@task
def join(left: Any, right: Any = "") -> str:
    return f"{left}{right}"


def output(value: Any) -> TaskOutput:
    """Tell the type checker what a task's call really returns while a flow is being made."""
    assert isinstance(value, TaskOutput)
    return value


def a_dag(template: Any, **options: Any) -> DAG:
    with DAG("templated", **options) as dag:
        echo(template)
    return dag


def test_the_guide_s_example_runs() -> None:
    @task
    def extract(source_path: str) -> list[str]:
        return [source_path]

    @task
    def transform(data: list[str]) -> list[str]:
        return [*data, "processed"]

    @task
    def load(data: list[str], destination: str) -> str:
        return f"{data} to {destination}"

    with DAG("etl_pipeline", version="1.0.0") as dag:
        data = extract(source_path="{{ parameters.source }}")
        transformed = transform(data=data)
        load(transformed, destination="{{ parameters.destination }}")

    assert dag.run({"source": "a", "destination": "b"}) == "['a', 'processed'] to b"
    assert [parameter.name for parameter in dag.parameters()] == ["source", "destination"]


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("{{ parameters.n }}", 3),
        ("{{parameters.n}}", 3),
        (" {{ parameters.items }} ", [1, None]),
        ("n={{ parameters.n }}", "n=3"),
        ("{{ parameters.n }}{{ parameters.n }}", "33"),
        ("{{ parameters.db.host }}:1", "h:1"),
        ("{{ parameters.n }} of {{}}", "3 of {{}}"),
        ("{{ parameters.n }} }}", "3 }}"),
        ({"deep": ["{{ parameters.n }}", ("{{ parameters.text }}",)]}, {"deep": [3, ("{{ parameters.n }}",)]}),
        ("{{ other.n }} {{ n }}", "{{ other.n }} {{ n }}"),
        (7, 7),
    ],
)
def test_templates_are_rendered(template: Any, rendered: Any) -> None:
    parameters = {"n": 3, "items": [1, None], "db": {"host": "h"}, "text": "{{ parameters.n }}"}
    assert a_dag(template).run(parameters) == rendered


def test_a_missing_parameter_names_the_flow_the_parameter_and_the_ones_given() -> None:
    with pytest.raises(ParameterError, match=r"flow 'templated': parameter 'x' is missing .*given: y, z"):
        a_dag("{{ parameters.x }}").run({"z": 1, "y": 2})


def test_a_missing_part_of_a_parameter_is_named() -> None:
    with pytest.raises(ParameterError, match=r"flow 'templated': template .*: there is no 'port' .given: host"):
        a_dag("{{ parameters.db.port }}").run({"db": {"host": "h"}})


def test_a_template_of_another_form_is_refused_with_the_right_one() -> None:
    with pytest.raises(ParameterError, match=r"flow 'templated': .* is not understood: write \{\{ parameters\.name"):
        a_dag("{{ parameters['x'] }}").run({"x": 1})


def test_defaults_are_used_and_can_be_overridden() -> None:
    dag = a_dag("{{ parameters.x }}", parameters={"x": 5})
    assert (dag.run(), dag.run({"x": 6})) == (5, 6)


def test_parameters_that_no_template_uses_are_welcome() -> None:
    assert a_dag(1).run({"unused": 2}) == 1


def test_the_result_of_one_sink_is_its_value_and_of_several_a_dict() -> None:
    with DAG("sinks") as dag:
        first = echo(1)
        join(first)
        join(first, 2)
    assert dag.run() == {"join": "1", "join-2": "12"}
    assert DAG("empty").run() is None


def test_returns_chooses_the_result() -> None:
    with DAG("chosen") as dag:
        first = echo(1)
        echo(first)
        dag.returns({"first": first, "constant": 2})
    assert dag.run() == {"first": 1, "constant": 2}


def test_after_and_shifts_order_tasks_without_values() -> None:
    order: list[str] = []
    note = task(order.append)

    with DAG("ordered") as dag:
        last, first, middle = (output(note(name)) for name in ("last", "first", "middle"))
        last.after(middle)
        first >> middle >> last
    dag.run()
    assert order == ["first", "middle", "last"]


def test_a_cycle_is_refused_with_its_path() -> None:
    with DAG("round") as dag:
        a = output(echo(1))
        b = output(join(a))
        with pytest.raises(CycleError, match=r"flow 'round': 'echo' cannot wait for 'join': .* echo -> join -> echo"):
            a.after(b)
        with pytest.raises(CycleError, match="echo -> echo"):
            a.after(a)
    assert dag.run() == "1"


def test_repeated_calls_get_numbered_names_that_never_clash() -> None:
    clash = task(name="echo-2")(lambda: "own")
    with DAG("names") as dag:
        echo(1)
        clash()
        echo(2)
        echo(3)
    assert list(dag.run()) == ["echo", "echo-2", "echo-3", "echo-4"]


def test_a_dag_can_run_many_times_and_be_opened_again_but_not_twice_at_once() -> None:
    dag = a_dag("{{ parameters.x }}")
    with dag, pytest.raises(GraphError, match="DAG 'templated' is already open"), dag:
        pass
    with dag:
        echo("{{ parameters.y }}")
    assert dag.run({"x": 1, "y": 2}) == {"echo": 1, "echo-2": 2}
    assert dag.run({"x": 3, "y": 4}) == {"echo": 3, "echo-2": 4}
