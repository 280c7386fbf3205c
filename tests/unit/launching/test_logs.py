from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.launching.logs import LogPlace, log_of, place_in, place_of, region_of
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import EcsSettings

ARN = "arn:aws:ecs:eu-west-1:123456789012:task/dagy/abc"
ECS = EcsSettings(log_group="/ecs/own", log_stream_prefix="p")
LOG = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "/its/own", "awslogs-stream-prefix": "its", "awslogs-region": "eu-north-1"},
}


def template(**log: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "x", "essential": True, "logConfiguration": log}
    return {"family": "f", "containerDefinitions": [container]}


def container(**fields: Any) -> ContainerRequest:
    return ContainerRequest(org_id="acme", **fields)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"image": "x"}, LogPlace("/ecs/own", "p/worker/abc")),
        ({"image": "x", "log_group": "/other", "container_name": "c"}, LogPlace("/other", "p/c/abc")),
        ({"task_definition": "family:7"}, None),
        ({"task_definition_template": template(**LOG)}, LogPlace("/its/own", "its/main/abc", "eu-north-1")),
        (
            {"task_definition_template": template(**LOG), "log_group": "/other"},
            LogPlace("/other", "its/main/abc", "eu-north-1"),
        ),
        ({"task_definition_template": template(logDriver="splunk")}, None),
        ({"task_definition_template": template(logDriver="awslogs", options={"awslogs-group": "g"})}, None),
    ],
)
def test_a_request_tells_where_its_log_is(fields: dict[str, Any], place: LogPlace | None) -> None:
    assert place_of(container(**fields), ECS, ARN) == place
    assert log_of(container(**fields), ECS, ARN) == (str(place) if place else "")


def test_without_a_task_there_is_no_log() -> None:
    assert place_of(container(image="x"), ECS, "") is None


def test_a_template_of_the_settings_decides_for_flows_but_not_for_images() -> None:
    ecs = EcsSettings(task_definition_template="template.json")
    assert place_of(LaunchRequest(org_id="acme", flow_name="etl"), ecs, ARN) is None
    assert place_of(container(image="x"), ecs, ARN) is not None


def test_a_definition_without_the_container_that_is_asked_for_has_no_log_of_it() -> None:
    request = container(task_definition="family", container_name="other")
    assert place_in(template(**LOG), request, ECS, ARN) is None


def test_the_region_is_the_tasks() -> None:
    assert region_of(ARN) == "eu-west-1"
    assert region_of("") == region_of("abc") == ""
