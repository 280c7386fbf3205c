"""Container output: from a pipe, line by line, in batches, to the log sink, holding back the writer if need be."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from dagy_queue.local.ecs.runtimes.base import LogTarget
from dagy_queue.local.ports import LogLine, LogSink

LINE_BYTES = 256 * 1024 - 26
"""CloudWatch Logs takes events of 256 KiB and counts 26 bytes of each as its own."""
BATCH_LINES = 200
BATCH_BYTES = 512 * 1024
CHUNK_BYTES = 64 * 1024

_log = logging.getLogger(__name__)


class LineSplitter:
    """Cuts a stream of bytes into lines of text, and lines that are too long into pieces (pure)."""

    def __init__(self, limit: int = LINE_BYTES) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that a chunk completes, without empty ones, which CloudWatch Logs refuses."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        pieces = [piece for line in whole for piece in self._cut(line)]
        while len(self._rest) > self._limit:
            head, self._rest = self._halves(self._rest)
            pieces.append(head)
        return [line for piece in pieces if piece for line in self._decode(piece)]

    def end(self) -> list[str]:
        """Return the last line, if it had no newline."""
        return self.feed(b"\n") if self._rest else []

    def _decode(self, piece: bytes) -> list[str]:
        line = piece.decode("utf-8", "replace")
        if "\ufffd" not in line or len(line.encode()) <= self._limit:
            return [line]
        step = self._limit // 4
        return [line[start : start + step] for start in range(0, len(line), step)]

    def _cut(self, line: bytes) -> list[bytes]:
        pieces = []
        while len(line) > self._limit:
            head, line = self._halves(line)
            pieces.append(head)
        return [*pieces, line]

    def _halves(self, line: bytes) -> tuple[bytes, bytes]:
        end = self._limit
        while end > self._limit - 3 and line[end] & 0xC0 == 0x80:
            end -= 1
        return line[:end], line[end:]


class LogShipper:
    """Ships what is written to one pipe until its end. Memory is bounded: while the sink is slow, nothing is read."""

    def __init__(self, sink: LogSink, target: LogTarget, clock: Callable[[], float], flush_seconds: float) -> None:
        self._sink = sink
        self._target = target
        self._clock = clock
        self._flush_seconds = flush_seconds
        self._splitter = LineSplitter()
        self._batch: list[LogLine] = []
        self._bytes = 0
        self._deadline: float | None = None

    async def ship(self, read_fd: int) -> None:
        """Read to the end of the pipe, which is closed afterwards, and hand over every line."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=CHUNK_BYTES)
        pipe = os.fdopen(read_fd, "rb", 0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            while chunk := await self._read(reader):
                await self._take(self._splitter.feed(chunk))
            await self._take(self._splitter.end())
        finally:
            transport.close()
            await self._flush()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    return await reader.read(CHUNK_BYTES)
            except TimeoutError:
                await self._flush()

    async def _take(self, lines: list[str]) -> None:
        stamp = int(self._clock() * 1000)
        for line in lines:
            self._batch.append(LogLine(stamp, line))
            self._bytes += len(line)
            if len(self._batch) >= BATCH_LINES or self._bytes >= BATCH_BYTES:
                await self._flush()
        if self._batch and self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._flush_seconds

    async def _flush(self) -> None:
        batch, self._batch, self._bytes, self._deadline = self._batch, [], 0, None
        if not batch:
            return
        try:
            await self._sink.write_lines(self._target.group, self._target.stream, batch)
        except Exception:  # noqa: BLE001 - a log sink that fails must not stop the container
            _log.exception("%d lines of %s were lost", len(batch), self._target.stream)
