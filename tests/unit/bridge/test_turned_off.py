from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dagy_queue.bridge import turned_off as module
from dagy_queue.bridge.turned_off import keeping_off
from dagy_queue.errors import RedisUnavailable
from tests.unit.bridge.waiting import until


class Stream:
    """What is turned off; counts how often, and fails as told."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.calls = 0

    def turn_off(self) -> None:
        self.calls += 1
        if self.calls <= self.fails:
            raise RedisUnavailable("away")


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    stopping = threading.Event()
    yield stopping
    stopping.set()


def keep_off(stream: Stream, stopping: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=keeping_off(stream.turn_off), args=(stopping,), daemon=True)
    thread.start()
    return thread


def test_it_ends_soon_after_it_is_told_to(stopping: threading.Event) -> None:
    stream = Stream()
    thread = keep_off(stream, stopping)
    until(lambda: stream.calls == 1)
    stopping.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_redis_that_is_away_is_asked_again(stopping: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AFTER_FAILURE", 0.001)
    stream = Stream(fails=3)
    keep_off(stream, stopping)
    until(lambda: stream.calls == 4)


def test_it_is_turned_off_again_and_again(stopping: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOKS_AGAIN", 0.001)
    stream = Stream()
    keep_off(stream, stopping)
    until(lambda: stream.calls >= 3)
