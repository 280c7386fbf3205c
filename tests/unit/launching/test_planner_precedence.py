"""The level that wins in a plan: the settings below the request, run_task_kwargs above both.

On what a task runs, and in which network, is said in ``test_placement.py``; a plan takes it from there.
"""

from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.errors import RequestInvalid
from tests.unit.launching.kit import FLOW, ROLE, Plans, container, variables
from tests.unit.launching.planner_kit import GPUS, SPOT, awsvpc, flow, job, overridden


def kwargs_for(name: str, **fields: Any) -> dict[str, Any]:
    return {"overrides": {"containerOverrides": [{"name": name, **fields}]}}


LEVELS = [
    pytest.param(
        {"cluster": "of-settings"},
        {"cluster": "of-request"},
        {"cluster": "of-kwargs"},
        lambda plan: plan.parameters["cluster"],
        ("of-settings", "of-request", "of-kwargs"),
        id="cluster",
    ),
    pytest.param(
        {"capacity_provider_strategy": SPOT},
        {"launch_type": "FARGATE"},
        {"capacityProviderStrategy": GPUS},
        lambda plan: plan.parameters.get("launchType", ""),
        ("", "FARGATE", ""),
        id="strategy or launch type",
    ),
    pytest.param(
        {"platform_version": "1.3.0"},
        {"platform_version": "1.4.0"},
        {"platformVersion": "LATEST"},
        lambda plan: plan.parameters["platformVersion"],
        ("1.3.0", "1.4.0", "LATEST"),
        id="platform version",
    ),
    pytest.param(
        {"subnets": ("subnet-s",)},
        {"subnets": ("subnet-r",)},
        {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-k"]}}},
        lambda plan: awsvpc(plan)["subnets"],
        (["subnet-s"], ["subnet-r"], ["subnet-k"]),
        id="subnets",
    ),
    pytest.param(
        {"execution_role_arn": ROLE.format("s")},
        {"task_execution_role_arn": ROLE.format("r")},
        {"overrides": {"executionRoleArn": ROLE.format("k")}},
        lambda plan: overridden(plan).get("executionRoleArn"),
        (None, ROLE.format("r"), ROLE.format("k")),
        id="execution role",
    ),
    pytest.param(
        {"task_role_arn": ROLE.format("s")},
        {"task_role_arn": ROLE.format("r")},
        {"overrides": {"taskRoleArn": ROLE.format("k")}},
        lambda plan: overridden(plan).get("taskRoleArn"),
        (None, ROLE.format("r"), ROLE.format("k")),
        id="task role",
    ),
    pytest.param(
        {"cpu": 512, "memory": 1024},
        {"cpu": 1024, "memory": 2048},
        {"overrides": {"cpu": "1024", "memory": "4096"}},
        lambda plan: (overridden(plan).get("cpu"), overridden(plan).get("memory")),
        ((None, None), ("1024", "2048"), ("1024", "4096")),
        id="size",
    ),
    pytest.param(
        {},
        {"ephemeral_storage_gib": 30},
        {"overrides": {"ephemeralStorage": {"sizeInGiB": 40}}},
        lambda plan: overridden(plan).get("ephemeralStorage"),
        (None, {"sizeInGiB": 30}, {"sizeInGiB": 40}),
        id="ephemeral storage",
    ),
    pytest.param(
        {"tags": {"team": "s", "cost": "s"}},
        {"tags": {"team": "r"}},
        {"tags": [{"key": "team", "value": "k"}]},
        lambda plan: [t["value"] for t in plan.parameters["tags"] if t["key"] in ("team", "cost", "dagy:run")],
        (["s", "s", "run"], ["r", "s", "run"], ["k", "s", "run"]),
        id="tags",
    ),
    pytest.param(
        {},
        {"extra_env_vars": {"A": "r"}},
        kwargs_for("worker", environment=[{"name": "A", "value": "k"}]),
        lambda plan: variables(container(plan.parameters)).get("A", ""),
        ("", "r", "k"),
        id="environment",
    ),
    pytest.param(
        {},
        {"command": ["r"]},
        kwargs_for("worker", command=["k"]),
        lambda plan: container(plan.parameters).get("command"),
        (None, ["r"], ["k"]),
        id="command",
    ),
    pytest.param(
        {"container_overrides": [{"name": "worker", "memoryReservation": 64, "cpu": 1}]},
        {"container_overrides": [{"name": "worker", "cpu": 2}]},
        kwargs_for("worker", cpu=3),
        lambda plan: (container(plan.parameters)["cpu"], container(plan.parameters)["memoryReservation"]),
        ((1, 64), (2, 64), (3, 64)),
        id="container overrides",
    ),
]


@pytest.mark.parametrize(("ecs", "fields", "kwargs", "said", "expected"), LEVELS)
def test_the_settings_are_below_the_request_and_run_task_kwargs_above_both(
    ecs: dict[str, Any], fields: dict[str, Any], kwargs: dict[str, Any], said: Any, expected: tuple[Any, ...]
) -> None:
    of_settings, of_request, of_kwargs = expected
    assert said(Plans(ecs=ecs).plan(job(image="job"))) == of_settings
    assert said(Plans(ecs=ecs).plan(job(image="job", **fields))) == of_request
    assert said(Plans(ecs=ecs).plan(job(image="job", **fields, run_task_kwargs=kwargs))) == of_kwargs
    assert said(Plans(ecs={**ecs, "run_task_kwargs": kwargs}).plan(job(image="job", **fields))) == of_kwargs


def test_the_request_s_run_task_kwargs_are_above_the_settings() -> None:
    plans = Plans(ecs={"run_task_kwargs": {"group": "s", "enableExecuteCommand": True}})
    asked = plans.plan(job(image="job", run_task_kwargs={"group": "r"})).parameters
    assert (asked["group"], asked["enableExecuteCommand"]) == ("r", True)


def test_tags_of_all_levels_are_sent_with_ours() -> None:
    plans = Plans(ecs={"tags": {"a": "s", "b": "s"}})
    request = flow(tags={"b": "r", "c": "r"}, run_task_kwargs={"tags": [{"key": "c", "value": "k"}]})
    tags = {tag["key"]: tag["value"] for tag in plans.plan(request).parameters["tags"]}
    assert {"a": "s", "b": "r", "c": "k", "dagy:run": "run"}.items() <= tags.items()


def test_no_level_can_set_our_tags() -> None:
    request = FLOW.model_copy(update={"run_task_kwargs": {"tags": [{"key": "dagy:run", "value": "another"}]}})
    with pytest.raises(RequestInvalid, match="dagy:run"):
        Plans().plan(request)


def test_more_tags_than_ecs_takes_are_refused_though_no_level_has_so_many() -> None:
    plans = Plans(ecs={"tags": {f"s{n}": "" for n in range(30)}})
    with pytest.raises(RequestInvalid, match="tags"):
        plans.plan(flow(tags={f"r{n}": "" for n in range(30)}))
