"""RunContext, and parameters as environment variables."""

from __future__ import annotations

import pytest

from dagy import RunContext, flow, task
from dagy.context import current_task
from dagy.environment import MOST_BYTES, export_parameters


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


def test_a_task_knows_its_own_attempt_beside_that_of_the_container() -> None:
    seen: list[tuple[int, int, str]] = []

    @task(retries=1)
    def unsteady() -> None:
        context = RunContext.current()
        seen.append((context.attempt, context.task_attempt, context.name))
        if len(seen) == 1:
            raise ValueError("once")

    flow(unsteady).execute({}, context=RunContext(run_id="r", flow_name="f", attempt=3))
    assert seen == [(3, 1, "unsteady"), (3, 2, "unsteady")]


def test_a_run_inside_a_task_is_not_part_of_that_task() -> None:
    @flow(name="inner")
    def inner() -> object:
        return {"body": (RunContext.current().name, current_task()), "task": where_am_i()["task"]}

    outer = task(name="outer")(lambda: (inner.run(), current_task()))
    (seen, after) = flow(outer).run()
    assert (seen, after) == ({"body": ("inner", ""), "task": "where_am_i"}, "outer")


def test_runs_have_ids_of_their_own() -> None:
    assert two_at_once.run()[0]["id"] != two_at_once.run()[0]["id"]


def test_a_given_context_is_used() -> None:
    context = RunContext(run_id="r1", flow_name="two_at_once", attempt=2, shard=3, batch_id="b")
    assert two_at_once.execute({}, context=context).result[0]["id"] == "r1"


def test_outside_a_run_there_is_no_context_but_a_test_can_open_one() -> None:
    with pytest.raises(LookupError, match="no run is under way"):
        RunContext.current()
    with pytest.raises(LookupError, match=r"by contextvars.copy_context\(\).run"):
        RunContext.current()
    with RunContext.local("mine", {"a": 1}).active() as context:
        assert RunContext.current() is context
        assert (context.org_id, context.environment, context.attempt) == ("local", "local", 1)


def test_scalar_parameters_are_exported_in_upper_case() -> None:
    environ: dict[str, str] = {}
    given = {"output_bucket": "b", "n": 3, "on": True, "ratio": 0.5, "dash-ed": "é", "none": None, "list": [1]}
    export_parameters(given, environ)
    assert environ == {"OUTPUT_BUCKET": "b", "N": "3", "ON": "true", "RATIO": "0.5", "DASH_ED": "é"}


def test_what_no_variable_can_have_or_no_process_be_started_with_is_not_exported() -> None:
    environ: dict[str, str] = {}
    export_parameters({"half": "\ud800", "long": "é" * 20_000, "fits": "x" * MOST_BYTES}, environ)
    assert environ == {"FITS": "x" * MOST_BYTES}


def test_variables_that_exist_or_steer_the_process_are_left_alone() -> None:
    environ = {"PATH": "/bin"}
    export_parameters({"path": "x", "ld_preload": "x", "aws_endpoint_url": "x", "pythonpath": "x", "": "x"}, environ)
    export_parameters({"https_proxy": "x", "http-proxy": "x", "all_proxy": "x", "no_proxy": "x"}, environ)
    export_parameters({"bash_env": "$(x)", "git-ssh-command": "x", "node_options": "x", "sslkeylogfile": "x"}, environ)
    export_parameters({"requests_ca_bundle": "x", "curl_ca_bundle": "x", "nul": "a\0b"}, environ)
    assert environ == {"PATH": "/bin"}
