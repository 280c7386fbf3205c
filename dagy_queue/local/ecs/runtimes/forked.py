"""Worker containers: forked from a warm server, which is restarted when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from dagy_queue.local.ecs.runtimes.base import ContainerExit, ContainerPlan, StartError
from dagy_queue.local.ecs.runtimes.fork_client import Child, ForkServerClient
from dagy_queue.local.ecs.runtimes.output import ContainerOutput, Shippers
from dagy_queue.local.ecs.runtimes.pacing import StartPace
from dagy_queue.local.ecs.runtimes.workdirs import WorkDirs


class ForkServerRuntime:
    """Runs ``dagy-worker`` images that keep their own command."""

    def __init__(self, entry: str, paths: Sequence[str], shippers: Shippers, work_dirs: WorkDirs) -> None:
        self._entry = entry
        self._paths = paths
        self._shippers = shippers
        self._work_dirs = work_dirs
        self._server: ForkServerClient | None = None
        self._launching = asyncio.Lock()
        self._pace = StartPace()
        self._running: set[asyncio.Future[ContainerExit]] = set()
        self._background: set[asyncio.Task[object]] = set()
        self._closing = False

    @property
    def pid(self) -> int | None:
        """The process id of the server that serves now."""
        return None if self._server is None or self._server.ended.done() else self._server.pid

    def warm(self) -> None:
        """Start the server in the background, so that it is warm when the first container comes."""
        self._in_background(self._ready_server())

    async def start(self, plan: ContainerPlan) -> ForkedContainer:
        """Fork a container, when its turn has come. Raises StartError."""
        return await self._pace.start(lambda: self._fork(plan), lambda container: container.exited)

    async def _fork(self, plan: ContainerPlan) -> ForkedContainer:
        server = await self._ready_server()
        directory = self._work_dirs.make(plan.key)
        output = ContainerOutput(plan.log, self._shippers)
        environment = {"HOME": str(directory), **plan.environment}
        try:
            child = await server.start(plan.key, environment, directory, output.write_fd)
        except StartError:
            await output.drained()
            await self._work_dirs.remove(directory)
            raise
        output.handed_over()
        container = ForkedContainer(plan.key, child, self, server, self._finish(child, output, directory))
        self._running.add(container.exited)
        container.exited.add_done_callback(self._running.discard)
        return container

    async def close(self) -> None:
        """End the server and with it every container."""
        self._closing = True
        self._pace.close()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._server is not None:
            await self._server.close()
        await asyncio.gather(*self._running)

    def send_signal(self, server: ForkServerClient, key: str, number: int) -> None:
        """Have the server send a signal, without waiting for it."""
        self._in_background(server.signal(key, number))

    async def _ready_server(self) -> ForkServerClient:
        async with self._launching:
            if self._closing:
                raise StartError("CannotStartContainerError: the local ECS is closing")
            if self._server is None or self._server.ended.done():
                self._server = await ForkServerClient.launch(self._entry, self._paths, self._work_dirs.root)
                self._server.ended.add_done_callback(self._restart)
            return self._server

    def _restart(self, _: object) -> None:
        if not self._closing and self._server is not None and self._server.is_ready:
            self.warm()

    async def _finish(self, child: Child, output: ContainerOutput, directory: Path) -> ContainerExit:
        ended = await child.ended
        await output.drained()
        await self._work_dirs.remove(directory)
        return ended

    def _in_background(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


class ForkedContainer:
    """A process forked from the server."""

    def __init__(
        self,
        key: str,
        child: Child,
        runtime: ForkServerRuntime,
        server: ForkServerClient,
        finish: Coroutine[Any, Any, ContainerExit],
    ) -> None:
        self._key = key
        self._child = child
        self._runtime = runtime
        self._server = server
        self.exited: asyncio.Future[ContainerExit] = asyncio.get_running_loop().create_task(finish)

    def signal(self, number: int) -> None:
        """Send a signal through the server, which knows whether the process still lives."""
        if not self._child.ended.done():
            self._runtime.send_signal(self._server, self._key, number)
