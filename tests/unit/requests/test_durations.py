from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import parse_request
from dagy_queue.requests.durations import parse_duration
from dagy_queue.settings import load_settings

FLOW = {"flow_name": "f", "org_id": "acme"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("1h", 3600),
        ("30m", 1800),
        ("2h30m", 9000),
        ("2h15m30s", 8130),
        ("3600s", 3600),
        ("1d", 86_400),
        ("250ms", 0.25),
        ("1.5h", 5400),
        (" 45M ", 2700),
        ("1m500ms", 60.5),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "15", "15 s", "1s1h", "1h1h", "-5s", "5x", "1h 30m", "ten seconds"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="2h15m30s"):
        parse_duration(text)


@given(st.integers(0, 9), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_every_combination_of_units_adds_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    assert parse_duration(text) == days * 86_400 + hours * 3600 + minutes * 60 + seconds


def test_a_request_takes_a_duration_or_seconds() -> None:
    for given_value, seconds in (("1m30s", 90.0), ("90", 90.0), (90, 90.0)):
        assert parse_request(FLOW | {"retry_delay": given_value}).retry_delay == seconds


def test_a_request_with_a_wrong_duration_says_what_is_allowed() -> None:
    with pytest.raises(RequestInvalid, match="2h15m30s"):
        parse_request(FLOW | {"retry_delay": "soon"})


def test_settings_take_durations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGY_QUEUE__DISPATCH__START_TIMEOUT", "2h")
    assert load_settings().dispatch.start_timeout == 7200
