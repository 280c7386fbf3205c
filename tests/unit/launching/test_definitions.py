from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given

from dagy_queue.errors import RequestInvalid
from dagy_queue.launching.definitions import (
    definition_of,
    existing_definition,
    made_definition,
    with_secrets,
)
from dagy_queue.launching.placement import placement_of
from dagy_queue.launching.task_definitions import definition_hash
from dagy_queue.requests import ContainerRequest, LaunchRequest
from tests.unit.launching.kit import (
    FLOW,
    JOB,
    ROLE,
    SECRET,
    TEMPLATE,
    container,
    flow_requests,
    placed_requests,
    problems,
    settings,
    variables,
)
from tests.unit.strategies import unhurried

ROLES = {"execution_role_arn": ROLE.format("x"), "task_role_arn": ROLE.format("t")}


def made(
    request: LaunchRequest | ContainerRequest, template: dict[str, Any] | None = None, **ecs: Any
) -> dict[str, Any]:
    config = settings(ecs=ecs)
    return made_definition(request, config.ecs, placement_of(request, config), template)


def job(**fields: Any) -> ContainerRequest:
    return ContainerRequest(org_id="acme", **fields)


def flow(**fields: Any) -> LaunchRequest:
    return LaunchRequest(org_id="acme", flow_name="etl", **fields)


@unhurried
@given(placed_requests)
def test_botocore_accepts_what_is_made_for_any_request(request_: LaunchRequest | ContainerRequest) -> None:
    assert not problems("RegisterTaskDefinition", {"family": "f", **made(request_, **ROLES)})


@unhurried
@given(flow_requests)
def test_what_is_made_depends_on_no_field_that_run_task_can_override(request_: LaunchRequest) -> None:
    plain = flow(launch_type=request_.launch_type, capacity_provider_strategy=request_.capacity_provider_strategy)
    here = request_.model_copy(update={"cluster": "", "region": ""})
    assert made(here, **ROLES) == made(plain, **ROLES)


def test_an_image_is_one_essential_container() -> None:
    document = made(FLOW)
    assert container(document) == {
        "name": "worker",
        "image": "dagy-worker:latest",
        "essential": True,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": "/ecs/dagy-worker",
                "awslogs-region": "us-east-1",
                "awslogs-stream-prefix": "dagy",
            },
        },
    }
    assert (document["networkMode"], document["cpu"], document["memory"]) == ("awsvpc", "256", "512")
    assert not {"executionRoleArn", "taskRoleArn"} & document.keys()


@pytest.mark.parametrize(
    ("request_", "image", "name"),
    [
        (JOB, "job:1", "worker"),
        (flow(worker_image="etl:2"), "etl:2", "worker"),
        (job(image="job:2", container_name="main"), "job:2", "main"),
    ],
)
def test_a_request_names_its_image_and_container(
    request_: LaunchRequest | ContainerRequest, image: str, name: str
) -> None:
    assert container(made(request_), name)["image"] == image


def test_a_container_without_anything_to_run_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="image"):
        made(job())


@pytest.mark.parametrize(
    ("fields", "ecs", "compatible"),
    [
        ({}, {}, "FARGATE"),
        ({"launch_type": "EC2"}, {}, "EC2"),
        ({}, {"launch_type": "EC2"}, "EC2"),
        ({"capacity_provider_strategy": [{"capacityProvider": "gpus"}]}, {}, "EC2"),
        ({"capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT"}]}, {"launch_type": "EC2"}, "FARGATE"),
        ({"run_task_kwargs": {"launchType": "EC2"}}, {}, "EC2"),
    ],
)
def test_what_is_made_suits_what_it_runs_on(fields: dict[str, Any], ecs: dict[str, Any], compatible: str) -> None:
    assert made(flow(**fields), **ecs)["requiresCompatibilities"] == [compatible]


def test_logs_go_to_the_requests_group_in_the_region_of_its_cluster() -> None:
    options = container(made(job(image="j", log_group="/ours", region="eu-west-3")))["logConfiguration"]["options"]
    assert (options["awslogs-group"], options["awslogs-region"]) == ("/ours", "eu-west-3")


@pytest.mark.parametrize(("ecs", "role"), [(ROLES, ROLE.format("x")), ({}, ROLE.format("own"))])
def test_a_request_s_role_is_registered_only_where_the_settings_have_none(ecs: dict[str, str], role: str) -> None:
    request = job(image="j", task_execution_role_arn=ROLE.format("own"))
    assert made(request, **ecs)["executionRoleArn"] == role


def test_a_template_is_kept_whole() -> None:
    before = copy.deepcopy(TEMPLATE)
    assert made(flow(), TEMPLATE) == TEMPLATE
    assert before == TEMPLATE


def test_a_template_s_roles_are_completed_by_the_settings() -> None:
    document = made(flow(), TEMPLATE, **ROLES)
    assert document == TEMPLATE | {"executionRoleArn": ROLE.format("x")}


@pytest.mark.parametrize(
    "request_",
    [flow(worker_image="etl:2"), job(image="etl:2", task_definition_template=TEMPLATE)],
    ids=["flow on the settings' template", "container with its own"],
)
def test_an_image_takes_the_place_of_the_working_container_s_alone(
    request_: LaunchRequest | ContainerRequest,
) -> None:
    document = made(request_, TEMPLATE)
    assert (container(document)["image"], container(document, "log-router")["image"]) == ("etl:2", "fluent-bit:2")
    container_of_template = container(TEMPLATE)
    assert container(document) | {"image": "etl:1"} == container_of_template
    assert container_of_template["image"] == "etl:1"


def test_the_request_s_template_goes_before_the_settings() -> None:
    own = {"containerDefinitions": [{"name": "main", "image": "own:1"}]}
    assert made(job(task_definition_template=own), TEMPLATE) == own


def test_a_container_s_own_image_needs_no_template_of_the_settings() -> None:
    assert "volumes" not in made(JOB, TEMPLATE)


def test_a_template_as_ecs_described_it_loses_what_cannot_be_registered() -> None:
    described = {"taskDefinition": TEMPLATE | {"revision": 3, "status": "ACTIVE", "taskDefinitionArn": "arn"}}
    assert made(job(task_definition_template=described)) == TEMPLATE


def test_secrets_join_those_of_the_working_container_and_replace_its_values() -> None:
    template = copy.deepcopy(TEMPLATE)
    template["containerDefinitions"][1]["secrets"] = [
        {"name": "PASSWORD", "valueFrom": SECRET + ":old::"},
        {"name": "OTHER", "valueFrom": SECRET},
    ]
    document = made(flow(secrets_env={"TOKEN": SECRET, "PASSWORD": SECRET}), template, **ROLES)
    worker = container(document)
    assert worker["secrets"] == [{"name": name, "valueFrom": SECRET} for name in ("OTHER", "PASSWORD", "TOKEN")]
    assert variables(worker) == {"MODE": "batch"}
    assert "secrets" not in container(document, "log-router")


@pytest.mark.parametrize(
    ("own", "settings_", "request_role", "role"),
    [
        ("of-template", "of-settings", "of-request", "of-template"),
        ("", "of-settings", "of-request", "of-settings"),
        ("", "", "of-request", "of-request"),
    ],
)
def test_secrets_are_registered_with_a_role_that_reads_them(
    own: str, settings_: str, request_role: str, role: str
) -> None:
    document = copy.deepcopy(TEMPLATE) | ({"executionRoleArn": own} if own else {})
    ecs = settings(ecs={"execution_role_arn": settings_}).ecs
    request = job(task_definition="old", secrets_env={"A": SECRET}, task_execution_role_arn=ROLE.format(request_role))
    found = with_secrets(document, request, ecs)["executionRoleArn"]
    assert found.rpartition("/")[2] == role


def test_without_secrets_a_document_is_left_alone() -> None:
    assert with_secrets(TEMPLATE, FLOW, settings().ecs) is TEMPLATE


def test_the_order_in_which_secrets_are_given_makes_no_difference() -> None:
    both = {"A": SECRET, "B": SECRET + ":key::"}
    one, other = made(flow(secrets_env=both)), made(flow(secrets_env=dict(reversed(both.items()))))
    assert definition_hash(one) == definition_hash(other)


@pytest.mark.parametrize(
    ("fields", "ecs", "name"),
    [
        ({}, {}, ""),
        ({"task_definition": "own"}, {"task_definition": "usual"}, "own"),
        ({}, {"task_definition": "usual"}, "usual"),
        ({}, {"task_definition": "usual", "run_task_kwargs": {"taskDefinition": "last"}}, "last"),
        ({"task_definition": "own", "run_task_kwargs": {"taskDefinition": "last"}}, {}, "last"),
        ({"image": "job"}, {"task_definition": "usual"}, ""),
        ({"task_definition_template": TEMPLATE}, {"task_definition": "usual"}, ""),
    ],
)
def test_an_existing_definition_is_the_requests_or_else_the_settings(
    fields: dict[str, Any], ecs: dict[str, Any], name: str
) -> None:
    assert existing_definition(job(**fields), settings(ecs=ecs).ecs) == name


def two(*, essential: tuple[bool, bool] = (True, True)) -> dict[str, Any]:
    listed = [{"name": n, "image": "i", "essential": e} for n, e in zip(("main", "side"), essential, strict=True)]
    return {"containerDefinitions": listed}


@pytest.mark.parametrize(
    ("document", "wanted", "worker"),
    [
        (TEMPLATE, "", "worker"),
        (TEMPLATE, "log-router", "log-router"),
        (two(essential=(True, False)), "", "main"),
        (two(), "side", "side"),
    ],
    ids=["by the usual name", "by the request", "the only essential one", "one of two"],
)
def test_the_working_container_is_found(document: dict[str, Any], wanted: str, worker: str) -> None:
    assert definition_of("arn", document).worker(wanted, "worker") == worker


@pytest.mark.parametrize(("document", "wanted"), [(two(), ""), (two(), "worker"), (TEMPLATE, "worcer")])
def test_a_working_container_that_nobody_can_tell_is_refused_with_the_names(
    document: dict[str, Any], wanted: str
) -> None:
    names = ", ".join(each["name"] for each in document["containerDefinitions"])
    with pytest.raises(RequestInvalid, match=names):
        definition_of("arn/family:1", document).worker(wanted, "worker")


def test_a_container_is_essential_and_a_network_a_bridge_unless_it_is_said() -> None:
    definition = definition_of("arn", {"containerDefinitions": [{"name": "a"}]})
    assert (definition.essential, definition.network_mode) == (("a",), "bridge")
    assert (definition.cpu, definition.memory) == (None, None)


def test_the_hash_is_the_content_s() -> None:
    turned = json.loads(json.dumps(dict(reversed(TEMPLATE.items()))))
    assert definition_hash(turned) == definition_hash(TEMPLATE)


@pytest.mark.parametrize(
    ("request_", "ecs"),
    [
        (flow(worker_image="dagy-worker:2"), {}),
        (flow(region="eu-west-1"), {}),
        (flow(secrets_env={"A": SECRET}), {}),
        (flow(log_group="/ours"), {}),
        (flow(), {"cpu": 512, "memory": 1024}),
        (flow(), {"task_role_arn": ROLE.format("t")}),
    ],
)
def test_another_definition_has_another_hash(request_: LaunchRequest, ecs: dict[str, Any]) -> None:
    assert definition_hash(made(request_, **ecs)) != definition_hash(made(flow()))
