from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from dagy_queue.errors import AwsCapacity, AwsError, AwsRefused, AwsThrottled, AwsUnavailable
from dagy_queue.launching.calls import definition_is_gone, place_of_task, run_task, stop_task
from tests.unit.kit import TASK_ARN, stubbed

PARAMETERS = {"cluster": "dagy", "taskDefinition": "family:1", "clientToken": "run-1"}
ELSEWHERE = "arn:aws:ecs:eu-west-3:123456789012:task/nightly/0123456789abcdef"


class OneRegion:
    """Stands in for AwsClients: one scripted client, and the regions it was asked for."""

    def __init__(self, client: Any) -> None:
        self.ecs = client
        self.regions: list[str] = []

    def in_region(self, region: str) -> OneRegion:
        self.regions.append(region)
        return self


@pytest.fixture
def ecs() -> Iterator[tuple[Any, Stubber]]:
    with stubbed("ecs") as (client, stub):
        yield OneRegion(client), stub


def answers(stub: Stubber, *, tasks: tuple[str, ...] = (), failures: tuple[dict[str, str], ...] = ()) -> None:
    answer = {"tasks": [{"taskArn": arn} for arn in tasks], "failures": list(failures)}
    stub.add_response("run_task", answer, PARAMETERS)


def test_a_task_is_launched_in_the_region_of_its_cluster(ecs: tuple[Any, Stubber]) -> None:
    answers(ecs[1], tasks=(TASK_ARN,))
    assert run_task(ecs[0], "eu-west-3", PARAMETERS) == TASK_ARN
    assert ecs[0].regions == ["eu-west-3"]


def test_the_task_that_a_conflict_names_is_adopted(ecs: tuple[Any, Stubber]) -> None:
    ecs[1].add_client_error("run_task", "ConflictException", modeled_fields={"resourceIds": [TASK_ARN, "another"]})
    assert run_task(ecs[0], "us-east-1", PARAMETERS) == TASK_ARN


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("ConflictException", {"resourceIds": []}),
        ("ConflictException", {}),
        ("ClientException", {"resourceIds": [TASK_ARN]}),
    ],
)
def test_nothing_is_adopted_unless_a_conflict_names_it(
    ecs: tuple[Any, Stubber], code: str, fields: dict[str, Any]
) -> None:
    ecs[1].add_client_error("run_task", code, modeled_fields=fields if code.startswith("Con") else None)
    with pytest.raises(AwsRefused):
        run_task(ecs[0], "us-east-1", PARAMETERS)


@pytest.mark.parametrize(
    ("failures", "cls"),
    [
        (({"reason": "RESOURCE:MEMORY"},), AwsCapacity),
        (({"reason": "RESOURCE:GPU", "detail": "none free"},), AwsCapacity),
        (({"reason": "AGENT"},), AwsCapacity),
        (({"reason": "Capacity is unavailable at this time. Please try again later"},), AwsCapacity),
        (({"reason": "You\u2019ve reached the limit on the number of vCPUs you can run concurrently"},), AwsCapacity),
        (({"reason": "ATTRIBUTE"},), AwsRefused),
        (({"reason": "LOCATION", "detail": "no such zone"},), AwsRefused),
        ((), AwsUnavailable),
    ],
)
def test_a_failure_in_the_answer_is_an_error_of_its_kind(
    ecs: tuple[Any, Stubber], failures: tuple[dict[str, str], ...], cls: type[AwsError]
) -> None:
    answers(ecs[1], failures=failures)
    with pytest.raises(cls) as raised:
        run_task(ecs[0], "us-east-1", PARAMETERS)
    assert all(text in str(raised.value) for failure in failures for text in failure.values())


def test_a_throttle_is_one_of_ours(ecs: tuple[Any, Stubber]) -> None:
    ecs[1].add_client_error("run_task", "ThrottlingException", "Rate exceeded")
    with pytest.raises(AwsThrottled):
        run_task(ecs[0], "us-east-1", PARAMETERS)


def test_a_task_is_stopped_where_its_arn_says_with_a_reason_that_fits(ecs: tuple[Any, Stubber]) -> None:
    ecs[1].add_response("stop_task", {}, {"cluster": "nightly", "task": ELSEWHERE, "reason": "x" * 255})
    stop_task(ecs[0], ELSEWHERE, "x" * 300)
    assert ecs[0].regions == ["eu-west-3"]


def test_a_task_that_cannot_be_stopped_is_an_error_of_ours(ecs: tuple[Any, Stubber]) -> None:
    ecs[1].add_client_error("stop_task", "InvalidParameterException", "The referenced task was not found.")
    with pytest.raises(AwsRefused):
        stop_task(ecs[0], TASK_ARN, "no")


@pytest.mark.parametrize(("arn", "place"), [(TASK_ARN, ("us-east-1", "dagy")), (ELSEWHERE, ("eu-west-3", "nightly"))])
def test_an_arn_says_where_its_task_is(arn: str, place: tuple[str, str]) -> None:
    assert place_of_task(arn) == place


@pytest.mark.parametrize(
    ("message", "gone"),
    [
        ("InvalidParameterException: TaskDefinition is inactive", True),
        ("ClientException: TaskDefinition not found.", True),
        ("ClientException: Unable to describe task definition.", True),
        ("ClusterNotFoundException: Cluster not found.", False),
        ("AccessDeniedException: not authorized", False),
    ],
)
def test_a_task_definition_that_is_gone_is_known_by_the_message(message: str, gone: bool) -> None:
    assert definition_is_gone(AwsRefused(message)) is gone
