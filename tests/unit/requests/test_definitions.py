from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import given

from dagy_queue.errors import RequestInvalid
from dagy_queue.local.ecs.definition_rules import check_definition
from dagy_queue.requests import ContainerRequest, LaunchRequest, parse_request
from dagy_queue.requests.definitions import read_template, registrable
from tests.unit.strategies import TEMPLATE, sizes, unhurried

MODEL = ServiceModel(Loader().load_service_model("ecs", "service-2"), "ecs")
DESCRIBED_ONLY = set(MODEL.shape_for("TaskDefinition").members) - set(
    MODEL.operation_model("RegisterTaskDefinition").input_shape.members
)


def with_worker(**changes: Any) -> dict[str, Any]:
    router, worker = TEMPLATE["containerDefinitions"]
    return {**TEMPLATE, "containerDefinitions": [router, {**worker, **changes}]}


def said(document: Any) -> str:
    with pytest.raises(RequestInvalid) as caught:
        parse_request({"org_id": "acme", "task_definition_template": document}, ContainerRequest)
    (problem,) = caught.value.problems
    assert problem.field == "task_definition_template"
    return problem.allowed


def test_a_template_is_kept_as_it_is() -> None:
    request = LaunchRequest(flow_name="f", org_id="o", task_definition_template=TEMPLATE)
    assert request.task_definition_template == TEMPLATE


def test_what_can_only_be_described_is_left_out() -> None:
    told = dict.fromkeys(DESCRIBED_ONLY, "x") | {"registeredAt": datetime.now(UTC), "requiresAttributes": []}
    assert registrable({**TEMPLATE, **told}) == TEMPLATE


def test_the_answer_of_describe_task_definition_is_a_template() -> None:
    answer = {"taskDefinition": {**TEMPLATE, "revision": 3, "status": "ACTIVE"}, "tags": [], "ResponseMetadata": {}}
    request = ContainerRequest(org_id="o", task_definition_template=answer)
    assert request.task_definition_template == TEMPLATE
    assert request.label == "pipeline"


def test_a_template_needs_no_family_and_no_fargate() -> None:
    document = {"containerDefinitions": [{"name": "a", "image": "i", "memory": 128}], "networkMode": "bridge"}
    assert ContainerRequest(org_id="o", task_definition_template=document).task_definition_template == document


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({}, "containerDefinitions is missing or empty"),
        ({"containerDefinitions": []}, "containerDefinitions is missing or empty"),
        ({"containerDefinitions": {"name": "a"}}, "containerDefinitions is missing or empty"),
        ({"containerDefinitions": ["a"]}, "Invalid type for parameter containerDefinitions[0]"),
        ({**TEMPLATE, "revison": 1}, 'Unknown parameter in input: "revison"'),
        ({**TEMPLATE, "cpu": 1024}, "Invalid type for parameter cpu, type"),
        ({**TEMPLATE, "networkMode": "vpc"}, "networkMode = 'vpc': one of "),
        ({**TEMPLATE, "requiresCompatibilities": ["LAMBDA"]}, "requiresCompatibilities[0] = 'LAMBDA': one of"),
        (with_worker(secrets=[{"name": "A"}]), "Missing required parameter in containerDefinitions[1].secrets[0]"),
        (with_worker(image=""), "main has no image"),
        (with_worker(name=""), "every container has a name"),
        (with_worker(name="log-router"), "no two have the same"),
        (with_worker(name="a b"), "'a b': a name has 1 to 255 letters"),
        (with_worker(essential=False), "at least one container is essential"),
        (with_worker(stopTimeout=121), "the stopTimeout of main is at most 120"),
        (with_worker(cpu=1025), "their cpu is more than the task's 1 vCPU in sum"),
        (with_worker(memory=2049), "the memory of main is more than the task's 2 GB"),
        (with_worker(secrets=[{"name": "a-mode", "valueFrom": "arn"}]), "main is given a-mode twice"),
        ({**TEMPLATE, "family": "a b"}, "family: 1 to 255 letters"),
        ({**TEMPLATE, "family": ""}, "family: 1 to 255 letters"),
        ({**TEMPLATE, "networkMode": "bridge"}, "networkMode: awsvpc, the only one that Fargate has"),
        ({**TEMPLATE, "cpu": ""}, "says its cpu and memory"),
        ({**TEMPLATE, "memory": "16384", "cpu": "1024"}, "cpu 1024 with memory 16384: choose memory 2048-8192"),
        ({**TEMPLATE, "memory": "16 GB"}, "cpu 1 vCPU with memory 16 GB: choose memory 2048-8192"),
        ({**TEMPLATE, "ephemeralStorage": {"sizeInGiB": 20}}, "ephemeralStorage: 21 to 200 GiB"),
        ({**TEMPLATE, "family": datetime.now(UTC)}, "datetime is not JSON"),
        ({**TEMPLATE, 5: "x"}, "a text"),
    ],
)
def test_what_ecs_would_not_register_is_refused(document: dict[str, Any], what: str) -> None:
    # A key that is no string is pydantic's to refuse.
    if 5 in document:
        with pytest.raises(RequestInvalid, match="a text"):
            parse_request({"org_id": "acme", "task_definition_template": document}, ContainerRequest)
        return
    assert what in said(document)


def test_every_problem_of_a_template_is_reported() -> None:
    document = {**with_worker(image="", essential=False), "networkMode": "host", "family": "a b"}
    assert all(what in said(document) for what in ("family", "main has no image", "essential", "awsvpc"))


@unhurried
@given(sizes)
def test_what_is_accepted_the_local_ecs_registers(size: tuple[int, int]) -> None:
    document = {**TEMPLATE, "cpu": str(size[0]), "memory": f"{size[1] / 1024:g} GB"}
    ContainerRequest(org_id="o", task_definition_template=document)
    check_definition(document)


def test_a_template_or_an_existing_definition() -> None:
    with pytest.raises(RequestInvalid, match="not both"):
        parse_request({"org_id": "o", "task_definition": "a", "task_definition_template": TEMPLATE}, ContainerRequest)


def test_a_template_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "definition.json"
    path.write_text(json.dumps({"taskDefinition": {**TEMPLATE, "revision": 3}}))
    assert read_template(path) == read_template(str(path)) == TEMPLATE


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "No such file"), ("{", "Expecting property name"), ("[]", "a JSON object"), ("\udcff", "decode")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None, what: str) -> None:
    path = tmp_path / "definition.json"
    if content is not None:
        path.write_text(content, errors="surrogateescape")
    with pytest.raises(RequestInvalid, match=what) as caught:
        read_template(path)
    assert caught.value.problems[0].value == str(path)


@pytest.mark.parametrize("where", ["environment", "secrets"])
def test_a_template_cannot_set_what_is_ours(where: str) -> None:
    variable = {"name": "DAGY_RUN_SPEC", "value" if where == "environment" else "valueFrom": "x"}
    document = {"family": "job", "containerDefinitions": [{"name": "main", "image": "job:1", where: [variable]}]}
    with pytest.raises(RequestInvalid, match="DAGY_RUN_SPEC: names of variables that are ours"):
        parse_request({"org_id": "a", "task_definition_template": document}, ContainerRequest)
