from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dagy_queue.errors import RequestInvalid
from dagy_queue.operate.moments import milliseconds, moment

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_duration_is_so_long_ago() -> None:
    assert moment("2h30m", NOW) == NOW - timedelta(hours=2, minutes=30)


def test_a_time_is_in_utc_unless_it_says_otherwise() -> None:
    assert moment("2025-12-31T12:00:00", NOW) == datetime(2025, 12, 31, 12, tzinfo=UTC)
    assert moment("2025-12-31T12:00:00+02:00", NOW) == datetime(2025, 12, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "10", "", "99999999999999d"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(RequestInvalid, match="how long ago"):
        moment(text, NOW)


def test_nothing_said_is_no_moment() -> None:
    assert milliseconds("") is None
    assert (milliseconds("1s") or 0) > 1_700_000_000_000
