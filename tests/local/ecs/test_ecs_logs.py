"""Output: lines, batches and limits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import pytest
from ecs_kit import Clock, Logs
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.local.ecs.logs import BATCH_LINES, LineSplitter, LogShipper
from dagy_queue.local.ecs.runtimes.base import LogTarget
from dagy_queue.local.ports import LogLine, LogSink


async def ship(sink: LogSink, *writes: bytes, pause: float = 0.0, flush_seconds: float = 60.0) -> None:
    read_fd, write_fd = os.pipe()
    shipper = LogShipper(sink, LogTarget("/g", "s"), Clock(), flush_seconds)
    shipping = asyncio.create_task(shipper.ship(read_fd))
    for data in writes:
        await asyncio.to_thread(os.write, write_fd, data)
        await asyncio.sleep(pause)
    os.close(write_fd)
    await shipping


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=20), st.data())
def test_lines_do_not_depend_on_how_the_bytes_arrive(lines: list[str], data: st.DataObject) -> None:
    stream = "\n".join(lines).encode()
    splitter, got = LineSplitter(), list[str]()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += splitter.feed(stream[:size])
        stream = stream[size:]
    assert got + splitter.end() == [line for line in lines if line]


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1), st.integers(4, 40))
def test_a_long_line_is_cut_between_characters(line: str, limit: int) -> None:
    splitter = LineSplitter(limit)
    pieces = splitter.feed(line.encode()) + splitter.end()
    assert "".join(pieces) == line
    assert all(len(piece.encode()) <= limit for piece in pieces)


@given(st.binary(min_size=1), st.integers(4, 40))
def test_bytes_that_are_no_text_are_replaced_and_still_bounded(data: bytes, limit: int) -> None:
    splitter = LineSplitter(limit)
    pieces = splitter.feed(data) + splitter.end()
    assert all(0 < len(piece.encode()) <= limit for piece in pieces)


def test_lines_travel_in_batches_with_their_time() -> None:
    async def main() -> None:
        logs = Logs()
        await ship(logs, b"".join(b"%d\n" % n for n in range(2 * BATCH_LINES + 1)))
        assert logs.batches == [BATCH_LINES, BATCH_LINES, 1]
        assert logs.all == [str(n) for n in range(2 * BATCH_LINES + 1)]

    asyncio.run(main())


def test_a_line_does_not_wait_for_its_batch_to_fill() -> None:
    async def main() -> None:
        logs = Logs()
        await ship(logs, b"one\n", b"two\n", b"three", pause=0.05, flush_seconds=0.001)
        assert logs.batches == [1, 1, 1]
        assert logs.lines == {("/g", "s"): ["one", "two", "three"]}

    asyncio.run(main())


def test_a_slow_sink_holds_the_writer_back() -> None:
    class Slow:
        def __init__(self) -> None:
            self.gate = asyncio.Event()
            self.count = 0

        async def write_lines(self, _group: str, _stream: str, lines: Sequence[LogLine]) -> None:
            await self.gate.wait()
            self.count += len(lines)

    async def main() -> None:
        sink, flood = Slow(), b"x" * 63 + b"\n"
        read_fd, write_fd = os.pipe()
        os.set_blocking(write_fd, False)
        shipping = asyncio.create_task(LogShipper(sink, LogTarget("/g", "s"), Clock(), 0.001).ship(read_fd))
        written = refused = 0
        while refused < 20:
            try:
                written += os.write(write_fd, flood * 64)
                refused = 0
            except BlockingIOError:
                refused += 1
            await asyncio.sleep(0.001)
        assert written < 1024 * 1024
        sink.gate.set()
        os.close(write_fd)
        await shipping
        assert sink.count == (written + 63) // 64

    asyncio.run(main())


def test_a_sink_that_fails_loses_lines_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def write_lines(self, *_: object) -> None:
            raise ConnectionError("no logs today")

    asyncio.run(ship(Broken(), b"one\n"))
    assert "1 lines of s were lost" in caplog.text
