"""Containers as plain processes: the image's argv with the task's environment, in a session of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from pathlib import Path

from dagy_queue.local.ecs.runtimes.base import ContainerExit, ContainerPlan, StartError, exit_code
from dagy_queue.local.ecs.runtimes.images import ImageChoice
from dagy_queue.local.ecs.runtimes.output import ContainerOutput, Shippers
from dagy_queue.local.ecs.runtimes.workdirs import WorkDirs

_PYTHON = re.compile(r"python(3(\.\d+)?)?")


class ProcessRuntime:
    """Starts one process for each container."""

    def __init__(self, shippers: Shippers, work_dirs: WorkDirs) -> None:
        self._shippers = shippers
        self._work_dirs = work_dirs
        self._running: set[ProcessContainer] = set()

    async def start(self, plan: ContainerPlan, choice: ImageChoice) -> ProcessContainer:
        """Start a container. Raises StartError if its executable is not there or cannot be run."""
        argv = resolve_argv(plan, choice)
        directory = self._work_dirs.make(plan.key)
        output = ContainerOutput(plan.log, self._shippers)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.write_fd,
                stderr=output.write_fd,
                cwd=_working_directory(plan, directory),
                env={"HOME": str(directory), **plan.environment},
                start_new_session=True,
            )
        except OSError as exc:
            await output.drained()
            await self._work_dirs.remove(directory)
            raise StartError(f"CannotStartContainerError: exec {argv[0]!r}: {exc.strerror}: {exc.filename}") from exc
        output.handed_over()
        container = ProcessContainer(process, output, directory, self._work_dirs)
        self._running.add(container)
        container.exited.add_done_callback(lambda _: self._running.discard(container))
        return container

    async def close(self) -> None:
        """Kill what still runs and wait for its end."""
        running = list(self._running)
        for container in running:
            container.signal(signal.SIGKILL)
        await asyncio.gather(*(container.exited for container in running))


class ProcessContainer:
    """A process and all it started."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        output: ContainerOutput,
        directory: Path,
        work_dirs: WorkDirs,
    ) -> None:
        self._process = process
        self._output = output
        self._directory = directory
        self._work_dirs = work_dirs
        self.exited: asyncio.Future[ContainerExit] = asyncio.get_running_loop().create_task(self._watch())

    def signal(self, number: int) -> None:
        """Send a signal to the process, or for SIGKILL to its whole session."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    async def _watch(self) -> ContainerExit:
        status = await self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._output.drained()
        await self._work_dirs.remove(self._directory)
        return ContainerExit(exit_code(status))


def _working_directory(plan: ContainerPlan, private: Path) -> Path:
    """The image's own directories, such as ``/app``, are not there on this machine; the private one stands in."""
    wanted = Path(plan.working_directory)
    return wanted if plan.working_directory and wanted.is_dir() else private


def resolve_argv(plan: ContainerPlan, choice: ImageChoice) -> list[str]:
    """Return the argv of a container, with its executable found as a shell in it would. Raises StartError."""
    own = (*plan.entry_point, *plan.command) or choice.default_command
    argv = [*choice.prefix, *own]
    if not argv:
        raise StartError("CannotStartContainerError: Error response from daemon: no command specified")
    if _PYTHON.fullmatch(argv[0]):
        return [sys.executable, *argv[1:]]
    found = shutil.which(argv[0], path=plan.environment.get("PATH", os.defpath))
    if found is None:
        raise StartError(
            "CannotStartContainerError: Error response from daemon: failed to create task for container: OCI runtime "
            f'create failed: unable to start container process: exec: "{argv[0]}": executable file not found in $PATH'
        )
    return [found, *argv[1:]]
