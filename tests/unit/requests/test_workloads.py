from __future__ import annotations

import pytest

from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import parse_request
from dagy_queue.requests.sizes import size_problem
from dagy_queue.requests.workloads import WORKLOADS

FLOW = {"flow_name": "f", "org_id": "acme"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_profile_is_a_size_that_fargate_has(name: str) -> None:
    assert size_problem(WORKLOADS[name].cpu, WORKLOADS[name].memory) is None


def test_a_profile_gives_the_size_of_a_run() -> None:
    assert parse_request(FLOW | {"workload_profile": "large"}).size == (2048, 4096)


def test_an_explicit_size_wins_over_a_profile() -> None:
    assert parse_request(FLOW | {"workload_profile": "max", "cpu": 256, "memory": 1024}).size == (256, 1024)


def test_without_either_the_task_definition_decides() -> None:
    assert parse_request(FLOW).size is None


def test_an_unknown_profile_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(RequestInvalid, match="small, medium, large, xlarge, heavy, max"):
        parse_request(FLOW | {"workload_profile": "huge"})
