from __future__ import annotations

import pytest

from dagy_queue.dispatch.persistence import Patience, persistently
from dagy_queue.errors import RedisUnavailable


class Flapping:
    """Fails as often as it is told to."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self) -> str:
        if self.failures:
            self.failures -= 1
            raise RedisUnavailable("away")
        return "told"


def test_what_works_is_done_once() -> None:
    pauses: list[float] = []
    assert persistently(Flapping(0), sleep=pauses.append) == "told"
    assert pauses == []


def test_what_fails_is_done_again_after_growing_pauses() -> None:
    pauses: list[float] = []
    assert persistently(Flapping(7), sleep=pauses.append) == "told"
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_it_ends_with_the_error_when_the_time_is_over() -> None:
    with pytest.raises(RedisUnavailable):
        persistently(Flapping(10_000), seconds=0.01, sleep=lambda _: None)


def test_other_errors_are_not_repeated() -> None:
    def wrong() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - any
        persistently(wrong, sleep=lambda _: None)


def test_a_pass_waits_for_redis_until_the_dispatcher_stops() -> None:
    patience = Patience()
    assert patience(Flapping(2)) == "told"
    patience.end()
    assert patience(Flapping(0)) == "told"
    with pytest.raises(RedisUnavailable):
        patience(Flapping(1))
