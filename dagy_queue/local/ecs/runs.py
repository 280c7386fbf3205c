"""The tasks being run: starting, stopping and, at the end, clearing them all away."""

from __future__ import annotations

import asyncio

from dagy_queue.local.ecs.lifecycle import Host, TaskRun
from dagy_queue.local.ecs.tasks import Stop, Task

CLOSING = Stop("TerminationNotice", "The local ECS is closing.")
_KILL_SECONDS = 5.0


class Runs:
    """Every task's run, by the task's ARN, until it has stopped."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._runs: dict[str, TaskRun] = {}
        self._lives: set[asyncio.Task[None]] = set()

    def start(self, task: Task) -> None:
        """Begin a task's life."""
        run = TaskRun(task, self._host)
        self._runs[task.arn] = run
        life = asyncio.get_running_loop().create_task(run.run())
        self._lives.add(life)
        life.add_done_callback(lambda _: self._end(task, life))

    def stop(self, task: Task, stop: Stop) -> None:
        """Want a task stopped; nothing happens if it has been."""
        run = self._runs.get(task.arn)
        if run is not None:
            run.stop(stop)

    def alive(self) -> list[Task]:
        """Return the tasks that have not stopped, oldest first."""
        return [run.task for run in self._runs.values()]

    async def close(self, grace_seconds: float) -> None:
        """Stop every task: politely at first, then with SIGKILL, in the end without waiting for it."""
        for run in list(self._runs.values()):
            run.stop(CLOSING)
        await self._settle(grace_seconds)
        for run in list(self._runs.values()):
            run.kill()
        await self._settle(_KILL_SECONDS)
        for life in list(self._lives):
            life.cancel()
        await self._settle(_KILL_SECONDS)

    async def _settle(self, seconds: float) -> None:
        if self._lives:
            await asyncio.wait(list(self._lives), timeout=seconds)

    def _end(self, task: Task, life: asyncio.Task[None]) -> None:
        self._runs.pop(task.arn, None)
        self._lives.discard(life)
