"""All runtimes together: which one an image wants, and starting its containers there."""

from __future__ import annotations

from collections.abc import Callable

from dagy_queue.local.ecs.config import LocalEcsConfig
from dagy_queue.local.ecs.logs import LogShipper
from dagy_queue.local.ecs.runtimes.base import ContainerPlan, LogTarget, RunningContainer, StartError
from dagy_queue.local.ecs.runtimes.forked import ForkServerRuntime
from dagy_queue.local.ecs.runtimes.images import ImageChoice, RuntimeKind, choose
from dagy_queue.local.ecs.runtimes.process import ProcessRuntime
from dagy_queue.local.ecs.runtimes.simulated import SimulatedRuntime
from dagy_queue.local.ecs.runtimes.workdirs import WorkDirs
from dagy_queue.local.ports import LogSink


class Runtimes:
    """The runtimes of one local ECS."""

    def __init__(self, config: LocalEcsConfig, logs: LogSink) -> None:
        self._config = config
        self._work_dirs = WorkDirs(config.work_dir)
        shippers = _shippers(config, logs)
        self.forked = ForkServerRuntime(config.worker_entry, config.worker_paths, shippers, self._work_dirs)
        self._processes = ProcessRuntime(shippers, self._work_dirs)
        self._simulated = SimulatedRuntime()

    def pull(self, plan: ContainerPlan) -> ImageChoice:
        """Return how to run a plan's image. Raises StartError with ECS's words for an image that is not there."""
        has_command = bool(plan.command or plan.entry_point)
        choice = choose(
            plan.image, has_command=has_command, registered=self._config.images, simulate=self._config.simulate
        )
        if choice is None:
            raise StartError(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
                f"failed to resolve ref {plan.image}: not found"
            )
        return choice

    async def start(self, plan: ContainerPlan, choice: ImageChoice) -> RunningContainer:
        """Start a container. Raises StartError."""
        match choice.kind:
            case RuntimeKind.SIMULATED:
                return await self._simulated.start(plan)
            case RuntimeKind.FORK_SERVER:
                return await self.forked.start(plan)
            case RuntimeKind.PROCESS:
                return await self._processes.start(plan, choice)

    async def close(self) -> None:
        """Kill what still runs and remove what it left."""
        await self._simulated.close()
        await self._processes.close()
        await self.forked.close()
        await self._work_dirs.close()


def _shippers(config: LocalEcsConfig, logs: LogSink) -> Callable[[LogTarget], LogShipper]:
    return lambda target: LogShipper(logs, target, config.clock, config.log_flush_seconds)
