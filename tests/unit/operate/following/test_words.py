"""What is said of a look: rates, what is left, failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.ledger import Phase
from dagy_queue.operate.following import words
from dagy_queue.operate.following.pace import Pace
from dagy_queue.operate.following.sight import Failure, Sight, Stall


def sight(counts: Mapping[Phase, int], **more: Any) -> Sight:
    return Sight(counts=counts, total=sum(counts.values()), **more)


def paced(*looks: tuple[float, Sight]) -> Pace:
    pace = Pace()
    for at, look in looks:
        pace.note(look, at)
    return pace


def test_a_line_says_how_far_how_fast_and_how_long_still() -> None:
    begin = sight({Phase.HELD: 100}, limit=20.0)
    now = sight({Phase.HELD: 40, Phase.RUNNING: 30, Phase.SUCCEEDED: 29, Phase.FAILED: 1}, limit=20.0)
    pace = paced((0, begin), (10, now))
    assert words.progress(now, pace) == (
        "30 of 100 ended; 40 held, 30 running, 29 succeeded, 1 failed; launching 6.0/s of 20/s; about 0:23 left"
    )


def test_a_rate_is_told_only_when_it_means_something() -> None:
    pace = paced((0, sight({Phase.HELD: 3})), (1, sight({Phase.RUNNING: 3})))
    assert (pace.launches, pace.seconds_left) == (None, None)
    assert Pace().launches is None


def test_a_rate_is_that_of_the_last_seconds() -> None:
    looks = [
        (float(at), sight({Phase.HELD: 100 - max(0, at - 60), Phase.RUNNING: max(0, at - 60)})) for at in range(91)
    ]
    assert paced(*looks).launches == pytest.approx(1.0, abs=0.05)


def test_without_a_limit_only_the_rate_is_told() -> None:
    now = sight({Phase.HELD: 5, Phase.RUNNING: 5})
    assert words.launching(now, paced((0, sight({Phase.HELD: 10})), (5, now))) == "launching 1.0/s"


def test_what_is_all_launched_has_no_rate_of_launches() -> None:
    now = sight({Phase.RUNNING: 10})
    assert words.launching(now, paced((0, sight({Phase.HELD: 10})), (5, now))) == ""


def test_retries_do_not_make_rates_negative() -> None:
    pace = paced((0, sight({Phase.RUNNING: 10})), (5, sight({Phase.RETRYING: 10})))
    assert pace.launches == 0


def test_while_a_manifest_is_counted_nothing_is_promised() -> None:
    looking = sight({Phase.HELD: 1, Phase.SUCCEEDED: 4}, is_counted=False)
    pace = paced((0, sight({})), (10, looking))
    assert words.how_far(looking) == "the shards are being counted"
    assert pace.seconds_left is None


def test_each_failure_is_a_line_and_many_are_counted() -> None:
    looking = sight({}, failures=(Failure("shard 7", "r", "no luck"),), more_failures=1234)
    assert list(words.failures(looking)) == ["shard 7 failed: no luck", "and 1,234 more failed"]


def test_that_nobody_takes_it_is_told_once() -> None:
    stall = Stall(0)
    assert [stall.is_told(True, at) for at in (5, 11, 12)] == [False, True, False]
    touched = Stall(0)
    assert [touched.is_told(is_untouched, at) for is_untouched, at in ((False, 5), (True, 30))] == [False, False]


def test_only_what_is_all_queued_is_untouched() -> None:
    assert sight({Phase.QUEUED: 3, Phase.HELD: 0}).is_untouched
    assert not sight({Phase.QUEUED: 3, Phase.HELD: 1}).is_untouched
    assert not sight({Phase.QUEUED: 3}, is_over=True).is_untouched


@given(st.lists(st.dictionaries(st.sampled_from(Phase), st.integers(0, 1000)), min_size=1), st.floats(0.1, 60))
def test_whatever_is_seen_can_be_said(looks: list[dict[Phase, int]], step: float) -> None:
    pace = Pace()
    for number, counts in enumerate(looks):
        pace.note(sight(counts), number * step)
        assert words.progress(sight(counts), pace)
    assert pace.launches is None or pace.launches >= 0
