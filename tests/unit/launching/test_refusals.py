from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import (
    AwsCapacity,
    AwsError,
    AwsRefused,
    AwsThrottled,
    AwsUnavailable,
    BatchNotFound,
    DagyQueueError,
    FlowNotFound,
    RequestInvalid,
)
from dagy_queue.launching.refusals import Refusal, backoff, is_last_try, refusal_of
from tests.unit.strategies import unhurried


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (AwsThrottled("x"), Refusal.SAME_ATTEMPT),
        (AwsUnavailable("x"), Refusal.SAME_ATTEMPT),
        (AwsCapacity("x"), Refusal.NEW_ATTEMPT),
        (AwsRefused("x"), Refusal.FINAL),
        (FlowNotFound("x"), Refusal.FINAL),
        (BatchNotFound("x"), Refusal.FINAL),
        (RequestInvalid("x"), Refusal.FINAL),
        (AwsError("x"), Refusal.FINAL),
    ],
)
def test_a_launch_goes_on_as_its_error_allows(error: DagyQueueError, refusal: Refusal) -> None:
    assert refusal_of(error) is refusal


@unhurried
@given(st.floats(0.01, 60), st.integers(0, 10_000))
def test_a_delay_is_never_longer_than_a_minute(base: float, times: int) -> None:
    assert 0 < backoff(base, times) <= 60


@unhurried
@given(st.floats(0.01, 1), st.integers(0, 4))
def test_a_delay_doubles_within_its_jitter(base: float, times: int) -> None:
    assert base * 2**times / 2 <= backoff(base, times) <= base * 2**times


def test_delays_differ_so_that_launches_do_not_come_back_together() -> None:
    assert len({backoff(1, 3) for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("refusal", "attempt", "retries", "most", "last"),
    [
        (Refusal.NEW_ATTEMPT, 1, 0, 1, True),
        (Refusal.NEW_ATTEMPT, 1, 0, 2, False),
        (Refusal.NEW_ATTEMPT, 2, 0, 2, True),
        (Refusal.NEW_ATTEMPT, 3, 2, 2, False),
        (Refusal.NEW_ATTEMPT, 4, 2, 2, True),
        (Refusal.NEW_ATTEMPT, 1_000_000, 0, None, False),
        (Refusal.SAME_ATTEMPT, 1_000_000, 0, 1, False),
        (Refusal.FINAL, 1_000_000, 0, 1, False),
    ],
)
def test_only_tries_that_found_no_room_are_counted(
    refusal: Refusal, attempt: int, retries: int, most: int | None, last: bool
) -> None:
    assert is_last_try(refusal, attempt, retries, most) is last
