from __future__ import annotations

import pickle
from typing import Any

import pytest

from dagy_queue import fan_out
from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import ContainerRequest

JOB = ContainerRequest(org_id="acme", image="busybox")


def refusal(shards: list[Any], **fields: Any) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as caught:
        fan_out(JOB, shards, **fields)
    return caught.value


def test_max_fail_count_is_refused_under_its_own_name() -> None:
    assert "max_fail_count = -1: 0 to 100" in str(refusal([{}], max_fail_count=-1))
    assert "max_retries" not in str(refusal([{}], max_fail_count=-1))


def test_shards_per_run_of_a_container_is_refused_without_a_stray_number() -> None:
    assert "shards_per_run = 2: only flows can" in str(refusal([{}], shards_per_run=2))


def test_more_problems_than_are_listed_are_mentioned() -> None:
    error = refusal([{"cpuu": 1}] * 50)
    assert "has 20 problems and more, nothing was sent" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own
    assert "has 20 problems, nothing" in str(refusal([{"cpuu": 1}] * 20))


def test_a_task_count_that_nobody_could_make_is_refused_at_once() -> None:
    with pytest.raises(RequestInvalid, match="task_count = 1000000000000: a number of tasks, at most 10,000,000"):
        fan_out(JOB, task_count=10**12)
