"""True and false are no numbers, although Python counts with them."""

from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.errors import RequestInvalid
from dagy_queue.producer.fan_out import policy_of
from dagy_queue.requests import ContainerRequest
from dagy_queue.requests.parsing import parse_request

JOB = {"org_id": "acme", "image": "python:3.12"}


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        ("max_retries", "a whole number, 0 to 100"),
        ("spot_fallback_after", "a whole number, 1 to 1000"),
        ("priority", "a whole number, 0 to 9"),
        ("cpu", "a whole number"),
        ("memory", "a whole number"),
        ("ephemeral_storage_gib", "a whole number"),
        ("timeout", "a number of seconds, or a duration such as"),
        ("retry_delay", "a number of seconds, or a duration such as"),
    ],
)
def test_a_truth_value_is_refused_where_a_request_has_a_number(field: str, allowed: str, truth: bool) -> None:
    with pytest.raises(RequestInvalid, match=rf"- {field} = {truth}: {allowed}"):
        parse_request({**JOB, field: truth}, ContainerRequest)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"capacity_provider_strategy": [{"capacity_provider": "FARGATE", "weight": True}]}, "strategy.0.weight"),
        ({"retry_on_exit_codes": [75, True]}, "retry_on_exit_codes.1"),
        ({"skip_on_exit_code": [True]}, "skip_on_exit_code.0"),
        ({"container_overrides": [{"name": "sidecar", "memory": True}]}, "container_overrides.0.memory"),
    ],
)
def test_and_where_a_part_of_it_has_one(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(RequestInvalid, match=rf"{name} = True: a whole number"):
        parse_request(JOB | fields, ContainerRequest)


@pytest.mark.parametrize("field", ["max_parallel", "shards_per_run", "timeout"])
def test_and_where_a_policy_has_one(field: str) -> None:
    with pytest.raises(RequestInvalid, match=rf"{field} = True: a (whole )?number"):
        policy_of({field: True})


def test_numbers_as_texts_are_numbers_still() -> None:
    request = parse_request(
        {**JOB, "max_retries": "3", "cpu": "1 vCPU", "memory": "2048", "timeout": "90"}, ContainerRequest
    )
    assert (request.max_retries, request.cpu, request.memory, request.timeout) == (3, 1024, 2048, 90.0)
