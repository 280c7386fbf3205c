from __future__ import annotations

import pytest

from dagy_queue.operate.flower.links import places_of

LOG = "/ecs/dagy-worker dagy/worker/0123"
TWICE = "$252Fecs$252Fdagy-worker/log-events/dagy$252Fworker$252F0123"


def arn(partition: str, region: str) -> str:
    return f"arn:{partition}:ecs:{region}:123456789012:task/dagy/0123"


@pytest.mark.parametrize(
    ("partition", "region", "console"),
    [
        ("aws", "us-east-1", "https://us-east-1.console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "https://cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_each_partition_has_its_console(partition: str, region: str, console: str) -> None:
    assert places_of(arn(partition, region), LOG, {}) == {
        "ECS console": f"{console}/ecs/v2/clusters/dagy/tasks/0123/configuration?region={region}",
        "log": f"{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{TWICE}",
    }


def test_a_task_whose_log_is_elsewhere_has_its_page_alone() -> None:
    assert list(places_of(arn("aws", "us-east-1"), "", {})) == ["ECS console"]


@pytest.mark.parametrize("task_arn", ["", "junk", arn("aws-iso", "us-iso-east-1")])
def test_what_has_no_console_has_no_link(task_arn: str) -> None:
    assert places_of(task_arn, LOG, {}) == {}


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECS"])
def test_a_local_aws_has_commands(name: str) -> None:
    found = places_of(arn("aws", "us-east-1"), LOG, {name: "http://127.0.0.1:4566"})
    aws = "aws --endpoint-url http://127.0.0.1:4566"
    assert found["ECS"] == f"{aws} ecs describe-tasks --cluster dagy --tasks 0123"
    assert found["log"].startswith(f"{aws} logs get-log-events --log-group-name /ecs/dagy-worker ")
    assert list(places_of(arn("aws", "us-east-1"), "", {name: "http://127.0.0.1:4566"})) == ["ECS"]
