from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.errors import RequestInvalid
from dagy_queue.requests.limits import ClusterLimits


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        (ClusterLimits(), (32_768, 249_856)),
        (ClusterLimits(max_cpu=1024), (1024, 8192)),
        (ClusterLimits(max_memory=2048), (1024, 2048)),
        (ClusterLimits(256, 512), (None, None)),
    ],
)
def test_a_run_within_the_limits_or_of_no_known_size_passes(
    limits: ClusterLimits, size: tuple[int | None, int | None]
) -> None:
    limits.check(*size)


def test_a_run_beyond_both_limits_is_told_both_with_their_settings() -> None:
    with pytest.raises(RequestInvalid) as caught:
        ClusterLimits(1024, 2048).check(2048, 4096)
    assert [str(problem) for problem in caught.value.problems] == [
        "cpu = 2048: at most 1024, the cluster's limit (DAGY_QUEUE__ECS__MAX_CPU)",
        "memory = 4096: at most 2048, the cluster's limit (DAGY_QUEUE__ECS__MAX_MEMORY)",
    ]


def test_only_the_limit_that_is_broken_is_told() -> None:
    with pytest.raises(RequestInvalid) as caught:
        ClusterLimits(1024, 2048).check(1024, 8192)
    assert [problem.field for problem in caught.value.problems] == ["memory"]


@pytest.mark.parametrize(
    ("size", "overrides", "told"),
    [
        ((512, 1024), {}, []),
        ((4096, 8192), None, ["cpu", "memory"]),
        ((4096, 8192), {"cpu": "512", "memory": "1 GB"}, []),
        ((512, 1024), {"cpu": "2 vCPU", "memory": "4096"}, ["cpu", "memory"]),
        ((None, None), {"memory": "4096"}, ["memory"]),
        ((4096, None), {"cpu": "what ECS refuses"}, ["cpu"]),
    ],
)
def test_what_run_task_kwargs_ask_for_counts_before_a_tasks_own_size(
    size: tuple[int | None, int | None], overrides: dict[str, Any] | None, told: list[str]
) -> None:
    problems = []
    try:
        ClusterLimits(1024, 2048).check_task(*size, {"overrides": overrides})
    except RequestInvalid as exc:
        problems = exc.problems
    assert [problem.field for problem in problems] == told
