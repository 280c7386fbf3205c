from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from dagy_queue.bridge.shared import Shared
from dagy_queue.bridge.troubles import Backoff, Call
from dagy_queue.errors import AwsThrottled, AwsUnavailable, RedisUnavailable
from tests.unit.strategies import unhurried


def test_the_limit_of_a_delay_doubles_up_to_the_longest() -> None:
    backoff = Backoff(30.0, jitter=lambda _low, high: high)
    assert [backoff.next() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next() == 0.5


@unhurried
@given(st.integers(1, 2000), st.floats(0.1, 100))
def test_a_delay_is_anything_from_nothing_to_its_limit(failures: int, longest: float) -> None:
    backoff = Backoff(longest)
    assert all(0 <= backoff.next() <= longest for _ in range(failures))


def test_a_failure_is_told_once_for_each_kind_and_when_it_is_over() -> None:
    troubles = Shared.fresh().troubles
    throttled = AwsThrottled("slow", code="Throttling")
    with capture_logs() as logs:
        for error in (throttled, throttled, AwsUnavailable("away", code="EndpointConnectionError"), throttled):
            troubles.failed(Call.RECEIVE, error)
        troubles.failed(Call.APPLY, RedisUnavailable("away"))
        troubles.failed(Call.APPLY, RedisUnavailable("away"))
        assert troubles.failing == {"receive": "Throttling", "apply": "RedisUnavailable"}
        for _ in range(2):
            troubles.worked(Call.RECEIVE)
        troubles.worked(Call.DELETE)
    told = [(line["event"].removeprefix("bridge_call_"), line["call"]) for line in logs]
    assert told == [("failed", "receive")] * 3 + [("failed", "apply"), ("works_again", "receive")]
    assert troubles.failing == {"apply": "RedisUnavailable"}


def test_only_a_defect_has_a_traceback() -> None:
    troubles = Shared.fresh().troubles
    with capture_logs() as logs:
        troubles.failed(Call.RECEIVE, AwsUnavailable("away"))
        troubles.failed(Call.TURN, ZeroDivisionError("defect"))
    assert [bool(line["exc_info"]) for line in logs] == [False, True]
