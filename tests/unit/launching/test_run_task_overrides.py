"""RunTask's overrides: which level wins, what none of them can set, and how large they may be."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from dagy.contract import Env
from dagy_queue.errors import RequestInvalid
from dagy_queue.launching.placement import placement_of
from dagy_queue.launching.run_task import (
    MAX_OVERRIDES,
    Launch,
    check_overrides_size,
    overrides,
    overrides_too_large,
    run_task_parameters,
)
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.overrides import ContainerOverride
from tests.unit.launching.kit import JOB, ROLE, SECRET, container, settings, variables
from tests.unit.launching.run_task_kit import WITH_SIDECARS, environment, launch_of, launches
from tests.unit.strategies import unhurried


def test_a_command_replaces_the_images() -> None:
    launch = launch_of(JOB.model_copy(update={"command": ("python", "-m", "job")}))
    assert container(run_task_parameters(launch))["command"] == ["python", "-m", "job"]


def test_what_is_not_asked_for_stays_as_the_definition_has_it() -> None:
    asked = run_task_parameters(launch_of(JOB))["overrides"]
    assert asked.keys() == {"containerOverrides"}
    assert container({"overrides": asked}).keys() == {"name", "environment"}


def test_size_storage_and_roles_are_overridden() -> None:
    request = LaunchRequest(
        flow_name="f",
        org_id="o",
        cpu=512,
        memory=1024,
        ephemeral_storage_gib=42,
        task_execution_role_arn=ROLE.format("x"),
        task_role_arn=ROLE.format("t"),
    )
    asked = run_task_parameters(launch_of(request))["overrides"]
    del asked["containerOverrides"]
    assert asked == {
        "cpu": "512",
        "memory": "1024",
        "ephemeralStorage": {"sizeInGiB": 42},
        "executionRoleArn": ROLE.format("x"),
        "taskRoleArn": ROLE.format("t"),
    }


def test_overrides_are_laid_over_one_another_by_level() -> None:
    def said(level: str) -> dict[str, str]:
        levels = ("request", "usual", "override", "kwargs")
        return {f"FROM_{other.upper()}": level for other in levels[levels.index(level) :]}

    def pairs(level: str) -> list[dict[str, str]]:
        return [{"name": name, "value": value} for name, value in said(level).items()]

    request = ContainerRequest(
        org_id="acme",
        image="job",
        command=("of-request",),
        extra_env_vars=said("request"),
        container_overrides=[{"name": "worker", "environment": said("override"), "cpu": 10}],
        run_task_kwargs={"overrides": {"containerOverrides": [{"name": "worker", "environment": pairs("kwargs")}]}},
    )
    usual = ContainerOverride(name="worker", environment=said("usual"), command=("usual",), cpu=5, memory=64)
    worker = container(run_task_parameters(launch_of(request, usual_overrides=(usual,))))
    env = variables(worker)
    assert {name: env[name] for name in said("request")} == {
        "FROM_REQUEST": "request",
        "FROM_USUAL": "usual",
        "FROM_OVERRIDE": "override",
        "FROM_KWARGS": "kwargs",
    }
    assert (worker["command"], worker["cpu"], worker["memory"]) == (["usual"], 10, 64)


def test_a_sidecar_is_overridden_by_its_name() -> None:
    given = {"name": "proxy", "command": ["--quiet"], "memoryReservation": 64, "environment": {"A": "1"}}
    request = JOB.model_copy(update={"container_overrides": (ContainerOverride(**given),)})
    launch = launch_of(request, definition=WITH_SIDECARS)
    proxy = container(run_task_parameters(launch), "proxy")
    assert (proxy["command"], proxy["memoryReservation"], variables(proxy)["A"]) == (["--quiet"], 64, "1")
    assert "command" not in container(run_task_parameters(launch), "worker")


@pytest.mark.parametrize(
    "fields",
    [
        {"container_overrides": [{"name": "prxy"}]},
        {"run_task_kwargs": {"overrides": {"containerOverrides": [{"name": "prxy"}]}}},
    ],
    ids=["container_overrides", "run_task_kwargs"],
)
def test_a_container_that_there_is_not_is_refused_with_those_that_there_are(fields: dict[str, Any]) -> None:
    request = ContainerRequest(org_id="acme", image="job", **fields)
    with pytest.raises(RequestInvalid, match=r"'prxy'.*log, worker, proxy"):
        run_task_parameters(launch_of(request, definition=WITH_SIDECARS))


def test_the_settings_overrides_are_for_definitions_that_have_the_container() -> None:
    usual = (ContainerOverride(name="log", memory=64), ContainerOverride(name="worker", memory=128))
    alone = run_task_parameters(launch_of(JOB, usual_overrides=usual))
    assert container(alone)["memory"] == 128
    both = run_task_parameters(launch_of(JOB, usual_overrides=usual, definition=WITH_SIDECARS))
    assert container(both, "log")["memory"] == 64


def test_no_variable_of_ours_can_be_set_by_the_operator_either() -> None:
    theirs = [{"name": Env.RUN_ID, "value": "x"}, {"name": Env.TASK_NUM, "value": "x"}, {"name": "A", "value": "a"}]
    kwargs = {"overrides": {"containerOverrides": [{"name": n, "environment": theirs} for n in ("worker", "log")]}}
    placement = replace(placement_of(JOB, settings()), kwargs=kwargs)
    launch = launch_of(JOB, placement=placement, definition=WITH_SIDECARS)
    assert (environment(launch)[Env.RUN_ID], environment(launch)[Env.TASK_NUM]) == ("run", "0")
    assert (environment(launch, "log")[Env.TASK_NUM], environment(launch, "log")["A"]) == ("0", "a")


@pytest.mark.parametrize(
    "fields",
    [
        {"container_overrides": [{"name": "worker", "environment": {"TOKEN": "plain"}}]},
        {
            "run_task_kwargs": {
                "overrides": {
                    "containerOverrides": [{"name": "worker", "environment": [{"name": "TOKEN", "value": "plain"}]}]
                }
            }
        },
    ],
    ids=["container_overrides", "run_task_kwargs"],
)
def test_a_secret_is_never_given_a_value_too(fields: dict[str, Any]) -> None:
    request = ContainerRequest(org_id="acme", image="job", secrets_env={"TOKEN": SECRET}, **fields)
    with pytest.raises(RequestInvalid, match="TOKEN") as refused:
        run_task_parameters(launch_of(request))
    assert "plain" not in str(refused.value)


@unhurried
@given(launches)
def test_run_task_is_told_nothing_of_secrets(launch: Launch) -> None:
    request = launch.request.model_copy(update={"secrets_env": {"TOKEN": SECRET}})
    said = json.dumps(run_task_parameters(replace(launch, request=request)))
    assert SECRET not in said
    assert "TOKEN" not in said


@pytest.mark.parametrize(("extra", "too_large"), [(0, False), (1, True)])
def test_overrides_may_have_as_many_characters_as_run_task_takes(extra: int, too_large: bool) -> None:
    def with_padding(length: int) -> dict[str, Any]:
        return {"containerOverrides": [{"name": "worker", "environment": [{"name": "A", "value": "é" * length}]}]}

    room = MAX_OVERRIDES - len(json.dumps(with_padding(0), separators=(",", ":")))
    value = with_padding(room + extra)
    assert overrides_too_large(value) is too_large
    if too_large:
        with pytest.raises(RequestInvalid, match="8193"):
            check_overrides_size(value)
    else:
        check_overrides_size(value)


def test_a_large_spec_makes_overrides_too_large_and_its_reference_does_not() -> None:
    launch = launch_of(LaunchRequest(flow_name="f", org_id="o", parameters={"rows": ["x" * 100] * 100}))
    assert overrides_too_large(overrides(launch))
    assert not overrides_too_large(overrides(replace(launch, spec_uri="s3://bucket/spec.json")))
