"""Plans of flows with a deployment: its packages, its defaults, and templates in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dagy.contract import Env
from dagy_queue.errors import RequestInvalid
from tests.unit.launching.kit import FLOW, Plans, container, deployments, variables
from tests.unit.launching.planner_kit import SPOT, awsvpc, flow, overridden, spec_of


def with_deployment(defaults: Mapping[str, Any] | None = None, slugs: tuple[str, ...] = (), **ecs: Any) -> Plans:
    plans = Plans(ecs=ecs)
    plans.planner._deployments = deployments(defaults, slugs)
    return plans


def test_a_deployment_s_packages_travel_in_the_variable_and_in_the_spec() -> None:
    plans = with_deployment(slugs=("pandas", "ours"))
    plan = plans.plan(flow(deployment_name="prod"))
    uris = ["s3://packages/acme/pandas.zip", "s3://packages/acme/ours.zip"]
    assert spec_of(plan).dep_package_uris == uris
    assert variables(container(plan.parameters))[Env.DEP_PACKAGE_URIS] == ",".join(uris)


def test_a_run_without_a_deployment_has_no_packages() -> None:
    plan = with_deployment({"cpu": 512, "memory": 1024}, ("pandas",)).plan(FLOW)
    assert Env.DEP_PACKAGE_URIS not in variables(container(plan.parameters))
    assert "cpu" not in plan.parameters["overrides"]


def test_a_deployment_s_defaults_are_over_the_settings_and_under_the_request() -> None:
    defaults = {
        "cluster": "of-deployment",
        "subnets": ["subnet-d"],
        "parameters": {"a": "d", "b": "d"},
        "extra_env_vars": {"A": "d", "B": "d"},
        "tags": {"a": "d"},
        "environment": "staging",
        "cpu": 512,
        "memory": 1024,
    }
    plans = with_deployment(defaults, cluster="of-settings", subnets=("subnet-s",), tags={"a": "s", "b": "s"})
    request = flow(
        deployment_name="prod", subnets=("subnet-r",), parameters={"b": "r"}, extra_env_vars={"B": "r"}, tags={}
    )
    plan = plans.plan(request)
    assert (plan.parameters["cluster"], awsvpc(plan)["subnets"]) == ("of-deployment", ["subnet-r"])
    assert (spec_of(plan).parameters, spec_of(plan).environment) == ({"a": "d", "b": "r"}, "staging")
    env = variables(container(plan.parameters))
    assert (env["A"], env["B"], overridden(plan)["cpu"]) == ("d", "r", "512")
    tags = {tag["key"]: tag["value"] for tag in plan.parameters["tags"]}
    assert (tags["a"], tags["b"], tags["dagy:environment"]) == ("d", "s", "staging")


@pytest.mark.parametrize(
    ("defaults", "fields", "gone", "there"),
    [
        ({"launch_type": "EC2"}, {"capacity_provider_strategy": SPOT}, "launchType", "capacityProviderStrategy"),
        ({"capacity_provider_strategy": SPOT}, {"launch_type": "FARGATE"}, "capacityProviderStrategy", "launchType"),
    ],
)
def test_a_request_s_way_to_say_it_takes_the_deployment_s_away(
    defaults: dict[str, Any], fields: dict[str, Any], gone: str, there: str
) -> None:
    asked = with_deployment(defaults).plan(flow(deployment_name="prod", **fields)).parameters
    assert there in asked
    assert gone not in asked


def test_a_deployment_that_cannot_work_is_refused_with_its_problem() -> None:
    with pytest.raises(RequestInvalid, match="cpu"):
        with_deployment({"cpu": 7, "memory": 1024}).plan(flow(deployment_name="prod"))


def test_a_retry_policy_that_contradicts_the_request_is_refused_before_anything_runs() -> None:
    plans = with_deployment({"retry_on_exit_codes": [75]})
    with pytest.raises(RequestInvalid, match="skip_on_exit_code"):
        plans.plan(flow(deployment_name="prod", skip_on_exit_code=75))


def test_templates_of_levels_that_join_late_are_filled_in_and_data_of_the_request_is_not() -> None:
    defaults = {"parameters": {"out": "s3://b/{{ run.org_id }}/{{ run.id }}/{{ run.shard }}", "data": "d"}}
    usual = [{"name": "worker", "environment": {"WHO": "{{ run.flow_name }} {{ run.batch_id }}"}}]
    plans = with_deployment(defaults, container_overrides=usual)
    request = flow(deployment_name="prod", parameters={"data": "{{ run.id }}"})
    plan = plans.plan(request, batch_id="batch", shard=4)
    assert spec_of(plan).parameters == {"out": "s3://b/acme/run/4", "data": "{{ run.id }}"}
    assert variables(container(plan.parameters))["WHO"] == "etl batch"


@pytest.mark.parametrize(
    ("fields", "units"),
    [
        ({}, 512),
        ({"cpu": 1024, "memory": 2048}, 1024),
        ({"run_task_kwargs": {"overrides": {"cpu": "2048", "memory": "4096"}}}, 2048),
        ({"run_task_kwargs": {"overrides": {"cpu": "2 vcpu", "memory": "4096"}}}, 2048),
    ],
)
def test_a_plan_knows_what_its_task_takes_of_the_cluster(fields: dict[str, Any], units: int) -> None:
    plans = with_deployment({"cpu": 512, "memory": 1024})
    assert plans.plan(flow(deployment_name="prod", **fields)).cpu == units
