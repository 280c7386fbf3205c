from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.aws.log_reader import LogReader
from dagy_queue.errors import AwsRefused, AwsThrottled, AwsUnavailable
from dagy_queue.operate.container_logs.pace import STREAM_CALLS, Pace
from dagy_queue.operate.container_logs.reading import GroupPosition, StreamPosition
from tests.unit.operate.container_logs.kit import GROUP, Clock, FakeLogs, refusal


def pace() -> Pace:
    clock = Clock()
    return Pace(STREAM_CALLS, now=clock.now, pause=clock.pause)


def position(logs: FakeLogs, stream: str = "s", since: int | None = None) -> StreamPosition:
    return StreamPosition(LogReader(logs), pace(), GROUP, stream, since)  # type: ignore[arg-type]


def group(logs: FakeLogs) -> GroupPosition:
    return GroupPosition(LogReader(logs), pace(), GROUP)  # type: ignore[arg-type]


def texts(events: Any) -> list[str]:
    return [event.message for event in events]


def test_a_stream_is_read_to_its_end_and_later_from_there_on() -> None:
    logs = FakeLogs()
    logs.write("s", *"abcdefgh")
    at = position(logs)
    assert texts(at.new()) == list("abcdefgh")
    assert texts(at.new()) == []
    logs.write("s", "i")
    assert texts(at.new()) == ["i"]


def test_a_stream_that_comes_later_is_read_then() -> None:
    logs = FakeLogs()
    at = position(logs)
    assert texts(at.new()) == []
    logs.write("s", "a")
    assert texts(at.new()) == ["a"]


def test_only_what_is_new_enough_is_read() -> None:
    logs = FakeLogs()
    logs.write("s", "old", at=10)
    logs.write("s", "new", at=20)
    assert texts(position(logs, since=15).new()) == ["new"]
    assert texts(position(logs, since=15).last(5)) == ["new"]


def test_the_last_lines_are_read_and_what_comes_behind_them() -> None:
    logs = FakeLogs()
    logs.write("s", *"abcdefgh")
    at = position(logs)
    assert texts(at.last(5)) == list("defgh")
    logs.write("s", "i")
    assert texts(at.new()) == ["i"]
    assert texts(position(logs).last(100)) == list("abcdefghi")
    assert texts(position(logs, "none").last(5)) == []


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 5))
def test_whatever_the_pages_every_line_is_read_once_and_in_order(parts: list[int], page: int) -> None:
    logs, expected, read = FakeLogs(page), list[str](), list[str]()
    logs.streams["s"] = []
    at = position(logs)
    for part in parts:
        lines = [str(len(expected) + number) for number in range(part)]
        logs.write("s", *lines)
        expected += lines
        read += texts(at.new())
    assert read == expected


def test_a_refusal_that_is_no_missing_stream_is_told() -> None:
    class Refusing(FakeLogs):
        def get_log_events(self, **_: Any) -> dict[str, Any]:
            raise refusal("AccessDeniedException", "GetLogEvents")

    for read in (lambda at: at.new(), lambda at: at.last(1)):
        with pytest.raises(AwsRefused):
            list(read(position(Refusing())))


def test_many_streams_are_read_a_hundred_with_a_call_and_in_order_of_time() -> None:
    logs = FakeLogs(page=1000)
    names = [f"s{number:03}" for number in range(250)]
    for number, name in enumerate(names):
        logs.write(name, name, at=1000 - number)
    at = group(logs)
    at.follow(names, None)
    found = texts(at.new())
    assert sorted(found) == names
    assert [streams for _, streams in logs.calls] == [100, 100, 50]
    assert found[:100] == sorted(found[:100], reverse=True)


def test_streams_that_do_not_exist_do_not_hide_the_others() -> None:
    logs = FakeLogs()
    for name in ("a", "c", "f"):
        logs.write(name, name)
    at = group(logs)
    at.follow("abcdef", None)
    assert sorted(texts(at.new())) == ["a", "c", "f"]


def test_nothing_is_read_twice_although_reading_begins_before_what_was_last() -> None:
    logs = FakeLogs()
    logs.write("a", "1", at=100_000)
    at = group(logs)
    at.follow(["a"], None)
    assert texts(at.new()) == ["1"]
    logs.write("a", "late", at=95_000)
    logs.write("a", "2", at=101_000)
    assert texts(at.new()) == ["late", "2"]
    assert texts(at.new()) == []


def test_streams_come_and_go_while_others_are_followed() -> None:
    logs = FakeLogs()
    for name in "abc":
        logs.write(name, f"{name}1")
    at = group(logs)
    at.follow("ab", None)
    assert texts(at.new()) == ["a1", "b1"]
    at.follow("bc", None)
    logs.write("a", "a2")
    logs.write("b", "b2")
    assert texts(at.new()) == ["b2", "c1"]
    assert texts(at.new()) == []
    assert logs.calls[-1] == ("FilterLogEvents", 2)
    at.follow([], None)
    assert texts(at.new()) == []


def test_a_stream_that_comes_later_does_not_have_the_others_read_again() -> None:
    logs = FakeLogs(page=2)
    hour = 3_600_000
    logs.write("a", "old", at=hour)
    logs.write("a", "new", at=2 * hour)
    at = group(logs)
    at.follow("a", None)
    assert texts(at.new()) == ["old", "new"]
    logs.write("b", "b1", at=2 * hour + 1)
    at.follow("ab", None)
    assert texts(at.new()) == ["b1"]
    logs.write("a", "late", at=2 * hour - 5_000)
    logs.write("b", "b2", at=2 * hour + 2)
    assert texts(at.new()) == ["late", "b2"]
    assert logs.calls[-1] == ("FilterLogEvents", 2)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 2_000_000)), max_size=12), st.integers(1, 3))
def test_whoever_comes_when_every_line_is_read_once(steps: list[tuple[str, int]], page: int) -> None:
    """Streams come in any order, and time passes by any steps between their lines."""
    logs, known, written, read, now = FakeLogs(page), set[str](), list[str](), list[str](), 0
    at = group(logs)
    for number, (stream, passed) in enumerate(steps):
        now += passed
        logs.write(stream, f"{stream}{number}", at=now)
        written.append(f"{stream}{number}")
        known.add(stream)
        at.follow(known, None)
        read += texts(at.new())
    assert sorted(read) == sorted(written)


def test_a_whole_group_is_read_by_the_beginning_of_its_streams() -> None:
    logs = FakeLogs()
    logs.write("dagy/a", *"123456")
    logs.write("other/b", "x")
    at = group(logs)
    at.follow_all("dagy/", None)
    assert texts(at.new()) == list("123456")


def test_calls_keep_their_pace() -> None:
    clock = Clock()
    paced = Pace(5, now=clock.now, pause=clock.pause)
    for _ in range(11):
        paced.call(lambda: None)
    assert clock.at == pytest.approx(2.0)


def test_a_throttled_call_waits_ever_longer_and_is_made_again() -> None:
    clock, logs = Clock(), FakeLogs()
    logs.write("s", "a")
    logs.throttles = 3
    reader = LogReader(logs)  # type: ignore[arg-type]
    at = StreamPosition(reader, Pace(1000, now=clock.now, pause=clock.pause), GROUP, "s")
    assert texts(at.new()) == ["a"]
    assert clock.at == pytest.approx(0.5 + 1 + 2, abs=0.1)


@pytest.mark.parametrize("error", [AwsThrottled("slower"), AwsUnavailable("away")])
def test_what_never_gets_better_is_told_in_the_end(error: Exception) -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        pace().call(fail)
    assert len(calls) == 8
