from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.dispatch.retries import retry_delay
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.requests import LaunchRequest
from tests.unit.strategies import unhurried

RETRIED = (Kind.FAILED, Kind.OUT_OF_MEMORY, Kind.TIMED_OUT, Kind.LOST)


def request(max_retries: int, retry_delay: float = 10.0) -> LaunchRequest:
    return LaunchRequest(flow_name="f", org_id="o", max_retries=max_retries, retry_delay=retry_delay)


def ended(kind: Kind) -> Outcome:
    return Outcome(kind=kind, summary="s")


@pytest.mark.parametrize("kind", RETRIED)
def test_an_end_that_the_code_brought_about_is_retried(kind: Kind) -> None:
    assert retry_delay(request(1), ended(kind), 0) is not None


@pytest.mark.parametrize("kind", [Kind.SUCCEEDED, Kind.CANCELLED])
def test_a_wanted_end_is_never_retried(kind: Kind) -> None:
    assert retry_delay(request(100), ended(kind), 0) is None


@pytest.mark.parametrize("kind", Kind)
def test_nothing_is_retried_unless_it_is_asked_for(kind: Kind) -> None:
    assert retry_delay(request(0), ended(kind), 0) is None


@unhurried
@given(st.integers(0, 100), st.integers(0, 200))
def test_a_run_is_retried_as_often_as_it_may(max_retries: int, retries: int) -> None:
    delay = retry_delay(request(max_retries), ended(Kind.FAILED), retries)
    assert (delay is not None) == (retries < max_retries)


@unhurried
@given(st.floats(0, 86_400), st.integers(0, 99))
def test_a_delay_is_within_its_jitter_and_an_hour(base: float, retries: int) -> None:
    delay = retry_delay(request(100, base), ended(Kind.FAILED), retries)
    assert delay is not None
    ceiling = min(3600, base * 2**retries)
    assert ceiling / 2 <= delay <= ceiling
