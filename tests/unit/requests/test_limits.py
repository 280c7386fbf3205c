from __future__ import annotations

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
