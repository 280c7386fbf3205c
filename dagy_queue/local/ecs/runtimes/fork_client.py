"""Our end of the fork server: one server process, its socket, and the containers it runs for us."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dagy_queue.local.ecs import forkserver
from dagy_queue.local.ecs.runtimes.base import ContainerExit, StartError, exit_code

LOST = ContainerExit(None, "ContainerRuntimeError: the fork server that ran the container has ended")
_CLOSE_SECONDS = 5.0


class Child:
    """A container as the server knows it: its process and, in time, its end."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[ContainerExit] = loop.create_future()


class ForkServerClient:
    """One fork server process, from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self._sending = asyncio.Lock()
        self._children: dict[str, Child] = {}
        self.is_ready = False
        self.ended = asyncio.get_running_loop().create_task(self._listen())

    @classmethod
    async def launch(cls, entry: str, paths: Sequence[str], directory: Path) -> ForkServerClient:
        """Start a server process."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        options = [part for path in paths for part in ("--path", path)]
        environment = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", forkserver.__file__, "--fd", str(theirs.fileno()), "--entry", entry, *options),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=environment,
                cwd=directory,
                start_new_session=True,
            )
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    async def start(self, key: str, environment: Mapping[str, str], directory: Path, output: int) -> Child:
        """Fork a container. Raises StartError if the server cannot, or ends meanwhile."""
        child = self._children[key] = Child()
        frame = {"op": "start", "key": key, "environment": dict(environment), "directory": str(directory)}
        try:
            await self._send(frame, output)
            await child.started
        except OSError as exc:
            self._children.pop(key, None)
            if child.started.done():
                child.started.exception()
            raise StartError(f"CannotStartContainerError: {exc}") from exc
        return child

    async def signal(self, key: str, number: int) -> None:
        """Send a signal to a container; nothing happens if it has ended."""
        with contextlib.suppress(OSError):
            await self._send({"op": "signal", "key": key, "signal": number})

    async def close(self) -> None:
        """End the server and with it all its containers."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.shield(self.ended)
        except TimeoutError:
            self._process.kill()
            await self.ended

    async def _send(self, frame: Mapping[str, Any], descriptor: int | None = None) -> None:
        data = json.dumps(frame).encode()
        header = len(data).to_bytes(forkserver.HEADER_BYTES, "big")
        loop = asyncio.get_running_loop()
        async with self._sending:
            if descriptor is None:
                await loop.sock_sendall(self._channel, header + data)
                return
            while True:
                try:
                    socket.send_fds(self._channel, [header], [descriptor])
                    break
                except BlockingIOError:
                    await _writable(self._channel)
            await loop.sock_sendall(self._channel, data)

    async def _listen(self) -> None:
        buffer = b""
        try:
            while chunk := await asyncio.get_running_loop().sock_recv(self._channel, 64 * 1024):
                buffer = self._take_frames(buffer + chunk)
        except ConnectionError:
            pass
        finally:
            self._lose_children()
            await self._process.wait()
            self._channel.close()

    def _take_frames(self, buffer: bytes) -> bytes:
        size = forkserver.HEADER_BYTES
        while len(buffer) >= size:
            end = size + int.from_bytes(buffer[:size], "big")
            if len(buffer) < end:
                break
            self._handle(json.loads(buffer[size:end]))
            buffer = buffer[end:]
        return buffer

    def _handle(self, frame: Mapping[str, Any]) -> None:
        if frame["event"] == "ready":
            self.is_ready = True
            return
        child = self._children[frame["key"]]
        if frame["event"] == "started":
            child.started.set_result(frame["pid"])
            return
        del self._children[frame["key"]]
        if frame["event"] == "exited":
            child.ended.set_result(ContainerExit(exit_code(frame["status"])))
        else:
            child.started.set_exception(OSError(frame["reason"]))

    def _lose_children(self) -> None:
        for child in self._children.values():
            if child.started.done():
                _kill_orphan(child.started.result())
                child.ended.set_result(LOST)
            else:
                child.started.set_exception(ConnectionResetError("the fork server has ended"))
        self._children.clear()


async def _writable(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(channel.fileno(), _set_once, ready)
    try:
        await ready
    finally:
        loop.remove_writer(channel.fileno())


def _set_once(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _kill_orphan(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
