from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.operate.text import age, age_of, aligned, clock, columns, counted, json_text, plural, took, visible


def test_rows_stand_under_each_other_and_empty_ones_are_left_out() -> None:
    rows = [("run", "r1"), ("nothing", ""), ("detail", "two\nlines")]
    assert list(aligned(rows)) == ["run      r1", "detail   two", "         lines"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 日本語 🎉\n\tall of it", "Grüße, 日本語 🎉\n\tall of it"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("a line of Windows\r\nanother\r", "a line of Windows\nanother"),
        ("10%\r20%", r"10%\r20%"),
        ("\x1b]52;c;cm0=\x07", r"\x1b]52;c;cm0=\x07"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
    ],
)
def test_a_terminal_shows_what_is_in_a_text_and_does_not_obey_it(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_is_left_of_controls_but_lines_and_tabs(text: str) -> None:
    left = {character for character in visible(text) if unicodedata.category(character) == "Cc"}
    assert left <= {"\n", "\t"}


@given(st.text())
def test_json_has_no_controls_but_between_its_values_and_means_the_same(text: str) -> None:
    written = json_text({"text": text}, indent=2)
    assert {character for character in written if unicodedata.category(character) == "Cc"} == {"\n"}
    assert json.loads(written) == {"text": text}


def test_json_shows_what_turns_texts_around() -> None:
    assert json_text(["\u202egnp.exe", "\x9b2J", "é"]) == r'["\u202egnp.exe", "\u009b2J", "é"]'


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert list(columns(("ID", "WHAT"), [("1", "a"), ("1000", "")])) == ["ID    WHAT", "1     a", "1000"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (7199, "1h"), (86_400 * 3, "3d")]
)
def test_an_age_is_in_its_largest_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_an_age_is_counted_from_an_iso_time() -> None:
    now = datetime(2026, 1, 1, 12, 5, tzinfo=UTC)
    assert age_of("2026-01-01T12:00:00+00:00", now) == "5m"
    assert age_of(None, now) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (42.4, "0:42"), (725, "12:05"), (10_800, "3:00:00")])
def test_a_clock_shows_minutes_and_hours(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.42, "0.4 s"), (12.4, "12 s"), (65, "1:05")])
def test_what_took_long_is_told_in_minutes(seconds: float, text: str) -> None:
    assert took(seconds) == text


def test_counts_come_in_the_order_asked_without_those_that_are_none() -> None:
    assert counted({"FAILED": 1, "HELD": 3, "RUNNING": 0}, ["RUNNING", "HELD", "FAILED"]) == "3 held, 1 failed"


def test_one_is_singular() -> None:
    assert (plural(1, "shard"), plural(0, "shard"), plural(2000, "shard")) == ("1 shard", "0 shards", "2,000 shards")


@given(st.floats(0, 1e9))
def test_every_age_and_clock_can_be_told(seconds: float) -> None:
    assert age(seconds)[-1] in "smhd"
    assert ":" in clock(seconds)
