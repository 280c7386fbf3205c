"""RunContext, and parameters as environment variables."""

from __future__ import annotations

import pytest

from dagy import RunContext, flow, task
from dagy.environment import export_parameters


@task
def where_am_i(_other: object = None) -> dict[str, object]:
    context = RunContext.current()
    return {
        "flow": context.flow_name,
        "task": context.task,
        "parameters": dict(context.parameters),
        "id": context.run_id,
    }


@flow
def two_at_once(x: int = 1) -> object:
    return [where_am_i(), where_am_i(), {"body": RunContext.current().task}]


def test_every_task_sees_the_run_it_is_part_of() -> None:
    first, second, body = two_at_once.run(x=5)
    assert first["flow"] == "two_at_once"
    assert first["parameters"] == {"x": 5}
    assert (first["task"], second["task"], body) == ("where_am_i", "where_am_i-2", {"body": ""})
    assert first["id"] == second["id"]
    assert str(first["id"]).startswith("local-")


def test_runs_have_ids_of_their_own() -> None:
    assert two_at_once.run()[0]["id"] != two_at_once.run()[0]["id"]


def test_a_given_context_is_used() -> None:
    context = RunContext(run_id="r1", flow_name="two_at_once", attempt=2, shard=3, batch_id="b")
    assert two_at_once.execute({}, context=context).result[0]["id"] == "r1"


def test_outside_a_run_there_is_no_context_but_a_test_can_open_one() -> None:
    with pytest.raises(LookupError, match="no run is under way"):
        RunContext.current()
    with RunContext.local("mine", {"a": 1}).active() as context:
        assert RunContext.current() is context
        assert (context.org_id, context.environment, context.attempt) == ("local", "local", 1)


def test_scalar_parameters_are_exported_in_upper_case() -> None:
    environ: dict[str, str] = {}
    given = {"output_bucket": "b", "n": 3, "on": True, "ratio": 0.5, "dash-ed": "é", "none": None, "list": [1]}
    export_parameters(given, environ)
    assert environ == {"OUTPUT_BUCKET": "b", "N": "3", "ON": "true", "RATIO": "0.5", "DASH_ED": "é"}


def test_variables_that_exist_or_steer_the_process_are_left_alone() -> None:
    environ = {"PATH": "/bin"}
    export_parameters({"path": "x", "ld_preload": "x", "aws_endpoint_url": "x", "pythonpath": "x", "": "x"}, environ)
    export_parameters({"nul": "a\0b"}, environ)
    assert environ == {"PATH": "/bin"}
