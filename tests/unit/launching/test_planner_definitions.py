"""The task definition of a plan: registered once, made of a template, or one that is there."""

from __future__ import annotations

import copy
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dagy.contract import Env
from dagy_queue.errors import AwsThrottled, RequestInvalid
from dagy_queue.launching.definition_cache import LedgerCache
from dagy_queue.ledger import RedisConnection
from tests.unit.kit import REGION
from tests.unit.launching.kit import (
    FLOW,
    ROLE,
    SECRET,
    TEMPLATE,
    MemoryAws,
    Plans,
    container,
    new_attempt,
    refusal,
    variables,
)
from tests.unit.launching.planner_kit import flow, job, spec_of


@pytest.fixture
def template(tmp_path: Path) -> str:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(TEMPLATE))
    return str(path)


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


def test_only_arns_of_secrets_are_told_to_ecs_and_only_their_names_to_the_worker(existing: Plans) -> None:
    plan = existing.plan(flow(secrets_env={"TOKEN": SECRET}, extra_env_vars={"A": "1"}))
    assert container(existing.registered()[-1])["secrets"] == [{"name": "TOKEN", "valueFrom": SECRET}]
    assert SECRET not in json.dumps(plan.parameters)
    assert spec_of(plan).secret_names == ["TOKEN"]
    assert "TOKEN" not in variables(container(plan.parameters))


def test_the_worker_is_told_of_its_container_s_secrets_and_time_to_stop() -> None:
    sidecar, worker = TEMPLATE["containerDefinitions"]
    theirs = sidecar | {"secrets": [{"name": "THEIRS", "valueFrom": SECRET}], "stopTimeout": 5}
    own = worker | {"secrets": [{"name": "OWN", "valueFrom": SECRET}], "stopTimeout": 110}
    template = TEMPLATE | {"containerDefinitions": [theirs, own], "executionRoleArn": ROLE.format("x")}
    spec = spec_of(Plans().plan(flow(task_definition_template=template, secrets_env={"TOKEN": SECRET})))
    assert (spec.secret_names, spec.stop_timeout) == (["OWN", "TOKEN"], 110.0)
    plain = spec_of(Plans().plan(FLOW))
    assert (plain.secret_names, plain.stop_timeout) == ([], 30.0)


def test_a_definition_that_was_forgotten_is_made_again(existing: Plans) -> None:
    first = existing.plan(FLOW)
    existing.aws.ecs_of().deregister(first.parameters["taskDefinition"])
    existing.planner.forget_definition(first)
    assert existing.plan(FLOW).parameters["taskDefinition"] == first.parameters["taskDefinition"][:-1] + "2"
