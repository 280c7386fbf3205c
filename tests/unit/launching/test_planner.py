"""The plan of a launch: a flow's version and spec, and what is too large."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dagy.contract import Env, RunSpec
from dagy_queue.errors import AwsRefused, FlowNotFound, RequestInvalid
from dagy_queue.ids import AttemptId
from dagy_queue.launching.deployments import DeploymentResolver
from dagy_queue.launching.flows import FlowResolver
from dagy_queue.launching.refusals import Refusal, refusal_of
from dagy_queue.launching.run_task import MAX_OVERRIDES
from dagy_queue.records.deployments import Deployment
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.requests import ContainerRequest, LaunchRequest
from tests.unit.launching.kit import (
    FIRST,
    FLOW,
    JOB,
    TEMPLATE,
    Plans,
    container,
    deployments,
    find_flow,
    variables,
)
from tests.unit.launching.planner_kit import flow, job, spec_of

LARGE = {"rows": ["x" * 100] * 100}


def test_a_flow_s_spec_has_what_latest_means_now() -> None:
    spec = spec_of(Plans().plan(flow(environment="staging", parameters={"a": 1}), batch_id="batch", shard=2))
    assert (spec.flow_name, spec.flow_version, spec.artifact_uri) == ("etl", "7", "s3://artifacts/etl.zip")
    assert (spec.environment, spec.parameters, spec.batch_id, spec.shard) == ("staging", {"a": 1}, "batch", 2)
    assert spec.result_uri == "s3://artifacts/results/acme/run/1/report.json"


def test_a_deployment_s_packages_are_checked_by_the_hashes_that_are_registered() -> None:
    plans = Plans()
    plans.planner._deployments = deployments(slugs=("a", "b"), sha256s={"b": "ab" * 32})
    spec = spec_of(plans.plan(flow(deployment_name="production")))
    assert spec.dep_package_uris == ["s3://packages/acme/a.zip", "s3://packages/acme/b.zip"]
    assert spec.dep_package_sha256s == ["", "ab" * 32]
    plans.planner._deployments = deployments(slugs=("a",))
    assert spec_of(plans.plan(flow(deployment_name="production"))).dep_package_sha256s == []


def test_only_direct_launches_tell_the_worker_that_its_word_is_final() -> None:
    assert not spec_of(Plans().plan(FLOW)).is_direct
    plans = Plans()
    plans.planner._is_direct = True
    assert spec_of(plans.plan(FLOW)).is_direct


def test_a_flow_that_nobody_registered_is_not_found() -> None:
    with pytest.raises(FlowNotFound):
        Plans().plan(flow(flow_name="unknown"))


def test_a_spec_that_is_too_large_goes_to_s3() -> None:
    plans = Plans()
    plan = plans.plan(flow(parameters=LARGE), AttemptId("run", 3))
    env = variables(container(plan.parameters))
    assert env[Env.RUN_SPEC_URI] == "s3://artifacts/results/acme/run/3/spec.json"
    assert Env.RUN_SPEC not in env
    assert RunSpec.from_json(plans.aws.objects[env[Env.RUN_SPEC_URI]]).parameters == LARGE


def test_a_spec_that_fits_stays_out_of_s3() -> None:
    plans = Plans()
    plans.plan(FLOW)
    assert plans.aws.objects == {}


def test_a_spec_that_is_too_large_needs_a_bucket() -> None:
    plans = Plans(storage={"artifact_bucket": ""})
    with pytest.raises(AwsRefused, match="DAGY_ARTIFACT_BUCKET"):
        plans.plan(flow(parameters=LARGE))


@pytest.mark.parametrize("request_", [job(image="job"), flow()], ids=["container", "flow"])
def test_overrides_that_run_task_does_not_take_are_refused_for_good(
    request_: LaunchRequest | ContainerRequest,
) -> None:
    # Each level is within its limit, and together they are not.
    plans = Plans(ecs={"container_overrides": [{"name": "worker", "environment": {"A": "x" * 5000}}]})
    too_large = request_.model_copy(update={"extra_env_vars": {"B": "x" * 5000}})
    with pytest.raises(RequestInvalid, match=str(MAX_OVERRIDES)) as refused:
        plans.plan(too_large)
    assert refusal_of(refused.value) is Refusal.FINAL
    assert not plans.aws.ecs_of().asked("RunTask")


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"cpu": 2048, "memory": 4096}, ["cpu", "memory"]),
        ({"cpu": 1024, "memory": 4096}, ["memory"]),
        ({"workload_profile": "large"}, ["cpu", "memory"]),
        ({"run_task_kwargs": {"overrides": {"cpu": "2 vCPU", "memory": "4 GB"}}}, ["cpu", "memory"]),
        ({"task_definition_template": TEMPLATE | {"cpu": "2048", "memory": "4096"}}, ["cpu", "memory"]),
        ({"run_task_kwargs": {"taskDefinition": "large"}}, ["cpu", "memory"]),
    ],
    ids=["size", "memory", "profile", "run_task_kwargs", "template", "existing definition"],
)
def test_a_run_that_is_larger_than_the_cluster_allows_is_refused(fields: dict[str, Any], names: list[str]) -> None:
    plans = Plans(ecs={"max_cpu": 1024, "max_memory": 2048})
    plans.aws.ecs_of().register_task_definition(**TEMPLATE | {"family": "large", "cpu": "2048", "memory": "4096"})
    with pytest.raises(RequestInvalid) as refused:
        plans.plan(flow(**fields))
    assert [problem.field for problem in refused.value.problems] == names


def test_a_run_of_the_largest_size_is_launched() -> None:
    plans = Plans(ecs={"max_cpu": 1024, "max_memory": 2048})
    assert plans.plan(flow(cpu=1024, memory=2048)).launch.attempt_id == FIRST


def test_a_request_s_size_counts_and_not_the_larger_definition_s() -> None:
    plans = Plans(ecs={"max_cpu": 512, "max_memory": 1024})
    assert plans.plan(job(task_definition_template=TEMPLATE, cpu=512, memory=1024))
    with pytest.raises(RequestInvalid):
        plans.plan(job(task_definition_template=TEMPLATE))


def test_the_same_attempt_is_planned_the_same_again() -> None:
    plans = Plans()
    assert plans.plan(JOB).parameters == plans.plan(JOB).parameters


def test_a_container_is_told_where_to_write_its_heartbeats_and_tasks() -> None:
    records = {"runs_table": "R", "task_runs_table": "T", "heartbeat_seconds": 5}
    spec = spec_of(Plans(records=records).plan(flow()))
    assert (spec.runs_table, spec.task_runs_table, spec.heartbeat_seconds) == ("R", "T", 5.0)


@pytest.mark.parametrize("off", ["enabled", "worker_updates"])
def test_a_container_writes_no_record_where_that_is_switched_off(off: str) -> None:
    spec = spec_of(Plans(records={off: False}).plan(flow()))
    assert (spec.runs_table, spec.task_runs_table) == ("", "")


def test_the_task_is_tagged_with_the_version_that_latest_means() -> None:
    assert "etl@7" in [tag["value"] for tag in Plans().plan(flow()).parameters["tags"]]


def test_a_flow_at_home_in_a_deployment_brings_it_along_unless_the_run_names_another() -> None:
    plans, asked = Plans(), []

    def registered(org_id: str, name: str, version: str) -> RegisteredFlow | None:
        found = find_flow(org_id, name, version)
        return found and replace(found, deployment_name="of-flow")

    def find(org_id: str, name: str, environment: str) -> Deployment:
        asked.append(name)
        return Deployment(name=name, environment=environment, package_slugs=(), defaults={})

    plans.planner._flows = FlowResolver(10, registered)
    plans.planner._deployments = DeploymentResolver(0, find, lambda *_: [])
    plans.plan(flow())
    plans.plan(flow(deployment_name="of-run"))
    plans.plan(job(image="job:1"))
    assert asked == ["of-flow", "of-run"]


def test_a_run_that_has_begun_is_planned_with_its_version() -> None:
    plans = Plans()
    begun = plans.planner.flow_of(flow(), begun_with="3")
    assert spec_of(plans.plan(flow(), flow=begun)).flow_version == "3"
