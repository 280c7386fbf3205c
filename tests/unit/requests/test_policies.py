from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dagy_queue.requests.policies import BatchPolicy
from tests.unit.strategies import unhurried

totals = st.integers(0, 1_000_000)


def test_without_a_word_no_failure_is_tolerated_and_nothing_is_limited() -> None:
    policy = BatchPolicy()
    assert policy.tolerated(1000) == 0
    assert (policy.max_parallel, policy.fail_fast, policy.timeout) == (None, False, None)


@unhurried
@given(totals, st.integers(0, 1_000_000))
def test_a_number_is_tolerated_whatever_the_total(total: int, number: int) -> None:
    assert BatchPolicy(tolerate=number).tolerated(total) == number


@unhurried
@given(totals, st.integers(0, 100))
def test_a_percentage_is_rounded_down(total: int, percent: int) -> None:
    assert BatchPolicy(tolerate=f"{percent}%").tolerated(total) == total * percent // 100


@pytest.mark.parametrize(("written", "of_1000"), [("2.5%", 25), (" 5 % ", 50), ("0%", 0), ("100%", 1000)])
def test_percentages_may_be_written_so(written: str, of_1000: int) -> None:
    assert BatchPolicy(tolerate=written).tolerated(1000) == of_1000


@pytest.mark.parametrize(
    "fields",
    [
        {"tolerate": -1},
        {"tolerate": "100.1%"},
        {"tolerate": "-1%"},
        {"tolerate": "5"},
        {"tolerate": 0.5},
        {"tolerate": True},
        {"tolerate": None},
        {"max_parallel": 0},
        {"shards_per_run": 0},
        {"timeout": 0},
        {"timeout": "15 days"},
        {"windows": 3},
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BatchPolicy(**fields)


@pytest.mark.parametrize(("written", "seconds"), [("1h", 3600), ("90s", 90), (2.5, 2.5)])
def test_a_timeout_is_a_duration(written: Any, seconds: float) -> None:
    assert BatchPolicy(timeout=written).timeout == seconds


@pytest.mark.parametrize("fields", [{}, {"tolerate": "5%"}, {"tolerate": 3, "fail_fast": True, "timeout": 60}])
def test_a_policy_is_read_back_as_it_was_written(fields: dict[str, Any]) -> None:
    policy = BatchPolicy(**fields)
    assert BatchPolicy.model_validate_json(policy.model_dump_json(exclude_defaults=True)) == policy
