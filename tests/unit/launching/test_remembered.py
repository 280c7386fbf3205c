from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest

from dagy_queue.launching import remembered
from dagy_queue.launching.remembered import Remembered

PATIENCE = 10


class Source:
    """Something that is looked up, and a clock."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now = 100.0
        self.answers: dict[str, object] = {}

    def reading(self, key: str) -> Callable[[], object]:
        def read() -> object:
            self.asked.append(key)
            answer = self.answers.get(key, f"{key} {len(self.asked)}")
            if isinstance(answer, Exception):
                raise answer
            return answer

        return read

    def clock(self) -> float:
        return self.now


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def memory(source: Source) -> Remembered[str, object]:
    return Remembered(source.clock)


def test_a_key_is_read_once_and_keeps_its_value_for_ever(source: Source, memory: Remembered[str, object]) -> None:
    assert memory.get("a", source.reading("a")) == "a 1"
    source.now += 1e12
    assert memory.get("a", source.reading("a")) == "a 1"
    assert source.asked == ["a"]


@pytest.mark.parametrize(("later", "value"), [(9.9, "a 1"), (10.0, "a 2")])
def test_a_value_is_known_for_its_seconds(
    source: Source, memory: Remembered[str, object], later: float, value: str
) -> None:
    memory.get("a", source.reading("a"), 10)
    source.now += later
    assert memory.get("a", source.reading("a"), 10) == value


def test_the_seconds_count_from_the_end_of_reading(source: Source, memory: Remembered[str, object]) -> None:
    def slow() -> object:
        source.now += 60
        return source.reading("a")()

    memory.get("a", slow, 10)
    source.now += 9.9
    assert memory.get("a", source.reading("a"), 10) == "a 1"


def test_without_seconds_to_live_every_answer_is_read(source: Source, memory: Remembered[str, object]) -> None:
    assert [memory.get("a", source.reading("a"), 0) for _ in range(3)] == ["a 1", "a 2", "a 3"]


def test_keys_have_values_of_their_own(source: Source, memory: Remembered[str, object]) -> None:
    assert [memory.get(key, source.reading(key)) for key in "abab"] == ["a 1", "b 2", "a 1", "b 2"]


@pytest.mark.parametrize("nothing", [None, "", 0, ()])
def test_a_value_that_is_nothing_is_remembered_too(
    source: Source, memory: Remembered[str, object], nothing: object
) -> None:
    source.answers["a"] = nothing
    assert [memory.get("a", source.reading("a")) for _ in range(2)] == [nothing] * 2
    assert source.asked == ["a"]


def test_an_error_is_not_remembered(source: Source, memory: Remembered[str, object]) -> None:
    source.answers["a"] = LookupError("not there yet")
    with pytest.raises(LookupError, match="not there yet"):
        memory.get("a", source.reading("a"))
    del source.answers["a"]
    assert memory.get("a", source.reading("a")) == "a 2"


def test_what_is_forgotten_is_named_and_read_again(source: Source, memory: Remembered[str, object]) -> None:
    for key in "abc":
        memory.get(key, source.reading(key))
    assert memory.forget(lambda key, value: key == "a" or value == "c 3") == ["a", "c"]
    assert [memory.get(key, source.reading(key)) for key in "abc"] == ["a 4", "b 2", "c 5"]
    assert memory.forget(lambda *_: False) == []


def test_it_does_not_grow_without_end(
    monkeypatch: pytest.MonkeyPatch, source: Source, memory: Remembered[str, object]
) -> None:
    monkeypatch.setattr(remembered, "MAX_REMEMBERED", 10)
    sizes = []
    for number in range(25):
        memory.get(str(number), source.reading(str(number)))
        sizes.append(len(memory))
    assert max(sizes) == 10
    assert memory.get("24", source.reading("24")) == "24 25"


def test_many_threads_read_a_key_once(source: Source, memory: Remembered[str, object]) -> None:
    at_once = threading.Barrier(12)

    def get(_: int) -> object:
        at_once.wait(PATIENCE)
        return memory.get("a", source.reading("a"))

    with ThreadPoolExecutor(12) as threads:
        assert set(threads.map(get, range(12))) == {"a 1"}


def test_a_key_that_is_slow_to_read_holds_up_few_others(source: Source, memory: Remembered[str, object]) -> None:
    memory.get("known", source.reading("known"))
    reading, may_go_on = threading.Event(), threading.Event()

    def slow() -> object:
        reading.set()
        may_go_on.wait(PATIENCE)
        return "slow"

    with ThreadPoolExecutor(5) as threads:
        held = threads.submit(memory.get, "slow", slow)
        assert reading.wait(PATIENCE)
        assert memory.get("known", source.reading("known")) == "known 1"
        # One in 64 shares the slow one's lock by chance; of four, some do not.
        quick = [threads.submit(memory.get, key, source.reading(key)) for key in "abcd"]
        assert wait(quick, PATIENCE, FIRST_COMPLETED).done
        may_go_on.set()
        assert held.result(PATIENCE) == "slow"


def test_forgetting_while_others_add_does_no_harm(source: Source, memory: Remembered[str, object]) -> None:
    stop = threading.Event()

    def forget_for_ever() -> None:
        while not stop.is_set():
            memory.forget(lambda *_: True)

    with ThreadPoolExecutor(2) as threads:
        forgetting = [threads.submit(forget_for_ever) for _ in range(2)]
        for number in range(500):
            assert memory.get(str(number), source.reading(str(number))) == f"{number} {number + 1}"
        stop.set()
        for each in forgetting:
            each.result(PATIENCE)
