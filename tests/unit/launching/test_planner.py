from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dagy.contract import Env, RunSpec
from dagy_queue.errors import AwsRefused, AwsThrottled, FlowNotFound, RequestInvalid
from dagy_queue.ids import AttemptId
from dagy_queue.launching.definition_cache import LedgerCache
from dagy_queue.launching.planner import Plan
from dagy_queue.launching.refusals import Refusal, refusal_of
from dagy_queue.launching.run_task import MAX_OVERRIDES
from dagy_queue.ledger import RedisConnection
from dagy_queue.requests import ContainerRequest, LaunchRequest
from tests.unit.kit import REGION
from tests.unit.launching.kit import (
    FIRST,
    FLOW,
    JOB,
    ROLE,
    SECRET,
    TEMPLATE,
    MemoryAws,
    Plans,
    container,
    deployments,
    new_attempt,
    refusal,
    variables,
)

LARGE = {"rows": ["x" * 100] * 100}


def flow(**fields: Any) -> LaunchRequest:
    return LaunchRequest(**{"org_id": "acme", "flow_name": "etl", "correlation_id": "trace", **fields})


def job(**fields: Any) -> ContainerRequest:
    return ContainerRequest(**{"org_id": "acme", "correlation_id": "trace", **fields})


def kwargs_for(name: str, **fields: Any) -> dict[str, Any]:
    return {"overrides": {"containerOverrides": [{"name": name, **fields}]}}


def spec_of(plan: Plan) -> RunSpec:
    return RunSpec.from_json(variables(container(plan.parameters))[Env.RUN_SPEC])


@pytest.fixture
def template(tmp_path: Path) -> str:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(TEMPLATE))
    return str(path)


def awsvpc(plan: Plan) -> Mapping[str, Any]:
    found: Mapping[str, Any] = plan.parameters["networkConfiguration"]["awsvpcConfiguration"]
    return found


def overridden(plan: Plan) -> Mapping[str, Any]:
    found: Mapping[str, Any] = plan.parameters["overrides"]
    return found


SPOT, GPUS = ([{"capacityProvider": name, "weight": 1, "base": 0}] for name in ("FARGATE_SPOT", "gpus"))

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
        {"launch_type": "EC2"},
        {"launch_type": "FARGATE"},
        {"launchType": "EXTERNAL"},
        lambda plan: plan.parameters["launchType"],
        ("EC2", "FARGATE", "EXTERNAL"),
        id="launch type",
    ),
    pytest.param(
        {"capacity_provider_strategy": SPOT},
        {"capacity_provider_strategy": GPUS},
        {"capacityProviderStrategy": SPOT},
        lambda plan: plan.parameters["capacityProviderStrategy"],
        (SPOT, GPUS, SPOT),
        id="strategy",
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
        {"security_groups": ("sg-s",)},
        {"security_groups": ("sg-r",)},
        {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-k"]}}},
        lambda plan: awsvpc(plan)["securityGroups"],
        (["sg-s"], ["sg-r"], ["sg-k"]),
        id="security groups",
    ),
    pytest.param(
        {"assign_public_ip": True},
        {"assign_public_ip": False},
        {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "ENABLED"}}},
        lambda plan: awsvpc(plan)["assignPublicIp"],
        ("ENABLED", "DISABLED", "ENABLED"),
        id="public address",
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


# Task definitions


def test_a_thousand_different_launches_of_one_image_register_one_definition(connection: RedisConnection) -> None:
    plans = Plans(cache=LedgerCache(connection), ecs={"execution_role_arn": ROLE.format("s")})
    sizes = ((256, 512), (512, 1024), (1024, 2048), (2048, 4096))
    for number in range(1000):
        cpu, memory = sizes[number % 4]
        request = flow(
            org_id=f"org-{number}",
            flow_version=str(number),
            cpu=cpu,
            memory=memory,
            correlation_id=f"trace-{number}",
            environment=f"env-{number}",
            parameters={"n": number},
            extra_env_vars={"N": str(number)},
            task_role_arn=ROLE.format(f"t{number}"),
            task_execution_role_arn=ROLE.format(f"x{number}"),
            ephemeral_storage_gib=21 + number % 100,
            tags={"n": str(number)},
            container_overrides=[{"name": "worker", "command": [str(number)]}],
        )
        plans.plan(request, new_attempt())
    assert len(plans.registered()) == 1
    assert len(plans.aws.ecs_of().calls) == 2


def test_dispatchers_that_start_together_register_once(connection: RedisConnection) -> None:
    aws = MemoryAws()
    processes = [Plans(aws, LedgerCache(connection)) for _ in range(4)]
    with ThreadPoolExecutor(16) as threads:
        plans = list(threads.map(lambda n: processes[n % 4].plan(FLOW, new_attempt()), range(64)))
    assert len({plan.parameters["taskDefinition"] for plan in plans}) == 1
    assert len(processes[0].registered()) == 1


def test_regions_have_definitions_of_their_own() -> None:
    plans = Plans()
    there = plans.plan(flow(region="eu-west-3"))
    assert there.region == "eu-west-3"
    assert there.parameters["taskDefinition"].split(":")[3] == "eu-west-3"
    assert (len(plans.registered("eu-west-3")), len(plans.registered())) == (1, 0)


def test_the_settings_template_is_registered_and_all_its_containers_are_numbered(template: str) -> None:
    plans = Plans(ecs={"task_definition_template": template, "execution_role_arn": ROLE.format("s")})
    plan = plans.plan(flow(worker_image="etl:2"), batch_id="batch", shard=3)
    (document,) = plans.registered()
    expected = copy.deepcopy(TEMPLATE) | {"executionRoleArn": ROLE.format("s"), "family": document["family"]}
    expected["containerDefinitions"][1]["image"] = "etl:2"
    assert document == expected
    assert variables(container(plan.parameters, "log-router")) == {Env.TASK_NAME: "dagy-batch-3", Env.TASK_NUM: "3"}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"containerDefinitions": [{"name": "a"}]}', None])
def test_a_template_that_is_none_ends_the_run_with_a_diagnosis(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "template.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RequestInvalid, match="task_definition_template"):
        Plans(ecs={"task_definition_template": str(path)}).plan(FLOW)


@pytest.mark.parametrize("mode", ["bridge", "host", None])
def test_a_definition_for_ec2_gets_no_network_of_ours(mode: str | None) -> None:
    document = {"containerDefinitions": [{"name": "main", "image": "i", "memory": 64}]}
    document |= {"networkMode": mode} if mode else {}
    asked = Plans().plan(job(task_definition_template=document, launch_type="EC2")).parameters
    assert asked["launchType"] == "EC2"
    assert not {"networkConfiguration", "platformVersion"} & asked.keys()


@pytest.fixture
def existing() -> Plans:
    """Plans where somebody has registered the family 'pipeline'."""
    plans = Plans()
    plans.aws.ecs_of().register_task_definition(**TEMPLATE)
    return plans


@pytest.mark.parametrize("name", ["pipeline", "pipeline:1"])
def test_an_existing_definition_is_launched_by_its_full_arn(existing: Plans, name: str) -> None:
    plan = existing.plan(job(task_definition=name))
    assert plan.parameters["taskDefinition"] == f"arn:aws:ecs:{REGION}:123456789012:task-definition/pipeline:1"
    assert len(existing.registered()) == 1
    assert [each["name"] for each in plan.parameters["overrides"]["containerOverrides"]] == ["worker", "log-router"]


def test_a_thousand_launches_of_a_family_describe_it_once(existing: Plans) -> None:
    for _ in range(1000):
        existing.plan(job(task_definition="pipeline"), new_attempt())
    assert len(existing.aws.ecs_of().asked("DescribeTaskDefinition")) == 1


def test_an_existing_definition_that_there_is_not_is_the_request_s_fault() -> None:
    with pytest.raises(RequestInvalid, match=r"'nightly'.*us-east-1"):
        Plans().plan(job(task_definition="nightly"))


def test_a_throttled_description_is_not_the_request_s_fault() -> None:
    plans = Plans()

    def throttle(**_: Any) -> Any:
        raise refusal("ThrottlingException")

    plans.aws.ecs_of().describe_task_definition = throttle  # type: ignore[method-assign]
    with pytest.raises(AwsThrottled):
        plans.plan(job(task_definition="nightly"))


def test_secrets_of_an_existing_definition_give_one_derived_revision(existing: Plans) -> None:
    request = job(task_definition="pipeline", secrets_env={"TOKEN": SECRET}, task_execution_role_arn=ROLE.format("x"))
    names = {existing.plan(request, new_attempt()).parameters["taskDefinition"] for _ in range(50)}
    assert len(names) == 1
    original, derived = existing.registered()
    assert derived["family"].startswith("pipeline-")
    assert container(derived)["secrets"] == [{"name": "TOKEN", "valueFrom": SECRET}]
    assert variables(container(derived)) == {"MODE": "batch"}
    assert derived["executionRoleArn"] == ROLE.format("x")
    assert {n: derived[n] for n in ("volumes", "runtimePlatform", "ephemeralStorage")} == {
        n: original[n] for n in ("volumes", "runtimePlatform", "ephemeralStorage")
    }


def test_only_arns_of_secrets_are_told_to_ecs_and_nothing_of_them_to_run_task(existing: Plans) -> None:
    plan = existing.plan(flow(secrets_env={"TOKEN": SECRET}, extra_env_vars={"A": "1"}))
    assert container(existing.registered()[-1])["secrets"] == [{"name": "TOKEN", "valueFrom": SECRET}]
    assert "TOKEN" not in json.dumps(plan.parameters)


def test_a_definition_that_was_forgotten_is_made_again(existing: Plans) -> None:
    first = existing.plan(FLOW)
    existing.aws.ecs_of().deregister(first.parameters["taskDefinition"])
    existing.planner.forget_definition(first)
    assert existing.plan(FLOW).parameters["taskDefinition"] == first.parameters["taskDefinition"][:-1] + "2"


# Flows, specs and sizes


def test_a_flow_s_spec_has_what_latest_means_now() -> None:
    spec = spec_of(Plans().plan(flow(environment="staging", parameters={"a": 1}), batch_id="batch", shard=2))
    assert (spec.flow_name, spec.flow_version, spec.artifact_uri) == ("etl", "7", "s3://artifacts/etl.zip")
    assert (spec.environment, spec.parameters, spec.batch_id, spec.shard) == ("staging", {"a": 1}, "batch", 2)
    assert spec.result_uri == "s3://artifacts/results/acme/run/1/report.json"


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


# Deployments


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


def test_templates_of_levels_that_join_late_are_filled_in_and_data_of_the_request_is_not() -> None:
    defaults = {"parameters": {"out": "s3://b/{{ run.org_id }}/{{ run.id }}/{{ run.shard }}", "data": "d"}}
    usual = [{"name": "worker", "environment": {"WHO": "{{ run.flow_name }} {{ run.batch_id }}"}}]
    plans = with_deployment(defaults, container_overrides=usual)
    request = flow(deployment_name="prod", parameters={"data": "{{ run.id }}"})
    plan = plans.plan(request, batch_id="batch", shard=4)
    assert spec_of(plan).parameters == {"out": "s3://b/acme/run/4", "data": "{{ run.id }}"}
    assert variables(container(plan.parameters))["WHO"] == "etl batch"


# Limits


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
