"""One task's life, from PROVISIONING to STOPPED: starting its containers, watching them, and winding down."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dagy_queue.local.ecs.config import LocalEcsConfig
from dagy_queue.local.ecs.delivery import EventDelivery
from dagy_queue.local.ecs.faults import Faults
from dagy_queue.local.ecs.plans import container_definition, container_plan
from dagy_queue.local.ecs.runtimes.base import ContainerExit, ContainerPlan, RunningContainer, StartError
from dagy_queue.local.ecs.runtimes.images import ImageChoice
from dagy_queue.local.ecs.runtimes.registry import Runtimes
from dagy_queue.local.ecs.stats import Stats
from dagy_queue.local.ecs.task_store import TaskStore
from dagy_queue.local.ecs.tasks import Stop, Task, TaskContainer
from dagy_queue.local.ports import AwsError, SecretSource

SPOT_INTERRUPTED = Stop("SpotInterruption", "Your Spot Task was interrupted.")
ESSENTIAL_EXITED = Stop("EssentialContainerExited", "Essential container in task exited")
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
EXIT_LOST = "CannotInspectContainerError: could not inspect the container after its end"
START_FAILED = "TaskFailedToStart"
HOST_LOST = "InfrastructureHealth"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """What a task needs of the ECS it runs in."""

    config: LocalEcsConfig
    runtimes: Runtimes
    delivery: EventDelivery
    secrets: SecretSource
    faults: Faults
    stats: Stats
    store: TaskStore


class NoSecrets:
    """Stands in where there is no secret source: every secret is missing."""

    async def resolve(self, value_from: str) -> str:
        """Raise what Secrets Manager would."""
        raise AwsError("ResourceNotFoundException", f"Secrets Manager can't find the specified secret: {value_from}")


class StartFailed(Exception):
    """The task cannot start; the message is its stopped reason."""


class Stopping(Exception):
    """Somebody wants the task stopped before it runs."""


class TaskRun:
    """A task being run. ``run`` is its whole life; ``stop`` and ``kill`` may be called at any moment of it."""

    def __init__(self, task: Task, host: Host) -> None:
        self.task = task
        self._host = host
        self._wake = asyncio.Event()
        self._running: list[tuple[ContainerPlan, RunningContainer]] = []
        self._timers: list[asyncio.TimerHandle] = []

    async def run(self) -> None:
        """Live the task's life, telling the bus of every change."""
        try:
            await self._tell()
            await self._provision()
            await self._start(await self._prepare())
            await self._wake.wait()
        except Stopping:
            pass
        except StartFailed as exc:
            self._want_stop(Stop(START_FAILED, str(exc)))
        except Exception as exc:  # noqa: BLE001 - a mistake of ours must not leave a task that never stops
            _log.exception("task %s", self.task.arn)
            self._want_stop(Stop(START_FAILED, f"InternalError: {exc}"))
        await self._wind_down()

    def stop(self, stop: Stop) -> None:
        """Want the task stopped, for the given reason unless it is stopping already."""
        if not self.task.is_stopped:
            self._want_stop(stop)

    def kill(self) -> None:
        """Kill the task's containers at once."""
        for _, running in self._running:
            running.signal(signal.SIGKILL)

    async def _provision(self) -> None:
        faults, rules = self._host.faults, self._host.faults.tasks
        if faults.happens(rules, "slow_start"):
            await self._unless_stopped(faults.slow_start())
        await self._pause(self._host.config.delays.provisioning)
        if faults.happens(rules, "start_failure"):
            raise StartFailed(rules.start_failure_reason)
        self.task.connected_at = self._now()
        self.task.advance("PENDING", self._now())
        await self._tell()

    async def _prepare(self) -> list[tuple[TaskContainer, ContainerPlan, ImageChoice]]:
        """Resolve secrets and pull images."""
        ready = []
        self.task.pull_started_at = self._now()
        for container in self.task.containers:
            plan = container_plan(self.task, container, await self._secrets(container), self._host.config)
            try:
                choice = self._pull(plan)
            except StartError as exc:
                container.reason = str(exc)
                raise StartFailed(str(exc)) from exc
            container.image_digest = f"sha256:{hashlib.sha256(container.image.encode()).hexdigest()}"
            ready.append((container, plan, choice))
        await self._pause(self._host.config.delays.pulling)
        self.task.pull_stopped_at = self._now()
        return ready

    def _pull(self, plan: ContainerPlan) -> ImageChoice:
        faults, rules = self._host.faults, self._host.faults.tasks
        if faults.happens(rules, "pull_failure"):
            raise StartError(rules.pull_failure_reason)
        return self._host.runtimes.pull(plan)

    async def _secrets(self, container: TaskContainer) -> Mapping[str, str]:
        wanted = container_definition(self.task, container.name).get("secrets") or ()
        try:
            return {secret["name"]: await self._host.secrets.resolve(secret["valueFrom"]) for secret in wanted}
        except AwsError as exc:
            raise StartFailed(
                "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
                f"failed: unable to retrieve secret: service call has been retried 1 time(s): {exc}"
            ) from exc

    async def _start(self, ready: list[tuple[TaskContainer, ContainerPlan, ImageChoice]]) -> None:
        if self._host.config.show_activating:
            self.task.advance("ACTIVATING", self._now())
            await self._tell()
            await self._pause(self._host.config.delays.activating)
        for container, plan, choice in ready:
            self._refuse_if_stopping()
            try:
                running = await self._host.runtimes.start(plan, choice)
            except StartError as exc:
                container.reason = str(exc)
                raise StartFailed("Task failed to start") from exc
            container.last_status = "RUNNING"
            self._running.append((plan, running))
            running.exited.add_done_callback(partial(self._note_exit, container))
        self._refuse_if_stopping()
        self.task.advance("RUNNING", self._now())
        self._arm_faults(ready)
        await self._tell()

    def _arm_faults(self, ready: list[tuple[TaskContainer, ContainerPlan, ImageChoice]]) -> None:
        faults, rules = self._host.faults, self._host.faults.tasks
        if faults.happens(rules, "oom") or (self.task.memory or 0) < rules.oom_below_memory:
            victim = next(place for place, (container, _, _) in enumerate(ready) if container.essential)
            self._later(rules.oom_after_seconds, self._exhaust_memory, ready[victim][0], self._running[victim][1])
        if self.task.is_spot and faults.happens(rules, "spot_interruption"):
            self._later(rules.spot_interruption_after_seconds, self.stop, SPOT_INTERRUPTED)
        if faults.happens(rules, "stop"):
            self._later(rules.stop_after_seconds, self.stop, Stop(rules.stop_code, rules.stop_reason))

    def _exhaust_memory(self, container: TaskContainer, running: RunningContainer) -> None:
        if not running.exited.done():
            container.reason = OUT_OF_MEMORY
            running.signal(signal.SIGKILL)

    def _note_exit(self, container: TaskContainer, future: asyncio.Future[ContainerExit]) -> None:
        ended = future.result()
        container.last_status = "STOPPED"
        container.exit_code = ended.code
        container.reason = container.reason or ended.reason
        if not container.essential:
            return
        if self._host.faults.happens(self._host.faults.tasks, "exit_lost"):
            container.exit_code = None
            container.reason = EXIT_LOST
        lost = Stop(HOST_LOST, ended.reason or "The host of the task's container was lost")
        self._want_stop(ESSENTIAL_EXITED if ended.code is not None else lost)

    async def _wind_down(self) -> None:
        for timer in self._timers:
            timer.cancel()
        await self._tell()
        if self._running:
            await self._stop_containers()
            self.task.execution_stopped_at = self._now()
        for container in self.task.containers:
            container.last_status = "STOPPED"
        self.task.advance("DEPROVISIONING", self._now())
        await self._tell()
        if self._host.config.delays.deprovisioning:
            await asyncio.sleep(self._host.config.delays.deprovisioning)
        self.task.advance("STOPPED", self._now())
        self._host.store.note_stopped(self.task)
        self._host.stats.note_stopped()
        await self._tell()

    async def _stop_containers(self) -> None:
        """SIGTERM, and SIGKILL to those that are still there after their stop timeout."""
        loop = asyncio.get_running_loop()
        killers = []
        for plan, running in self._running:
            if not running.exited.done():
                running.signal(signal.SIGTERM)
                killers.append(loop.call_later(plan.stop_timeout, running.signal, signal.SIGKILL))
        await asyncio.wait([running.exited for _, running in self._running])
        for killer in killers:
            killer.cancel()

    def _want_stop(self, stop: Stop) -> None:
        self.task.request_stop(stop, self._now())
        self._wake.set()

    def _later(self, seconds: float, action: Callable[..., object], *args: object) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, action, *args))

    async def _unless_stopped(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Wait for something, or until the task is stopped."""
        both = [asyncio.ensure_future(each) for each in (waiting, self._wake.wait())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
        self._refuse_if_stopping()

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        self._refuse_if_stopping()

    def _refuse_if_stopping(self) -> None:
        if self.task.desired_status == "STOPPED":
            raise Stopping

    async def _tell(self) -> None:
        await self._host.delivery.send(self.task)

    def _now(self) -> float:
        return self._host.config.clock()
