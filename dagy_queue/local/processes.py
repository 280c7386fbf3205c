"""Child processes of the local stack: tied to this process, with their output in a file, stopped for certain.

A child gets a session of its own, so that Ctrl-C in the terminal reaches only us and children stop in our order. It
is started from one thread that lives as long as this process, because Linux ties "parent died" to the thread.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache, partial
from pathlib import Path
from queue import SimpleQueue

from dagy_queue.errors import LocalStackError

_Process = subprocess.Popen[bytes]
TETHER = Path(__file__).with_name("tether.py")


class Child:
    """One running command. ``name`` is for people; ``log`` is where its output goes."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        stop_seconds: float = 10.0,
    ) -> None:
        self.name = name
        self.log = log
        self._stop_seconds = stop_seconds
        self._process = _start(command, log, environment)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of the child's process group."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, None while the child runs. What an ended child leaves behind is ended too."""
        if self._process.returncode is None and self._has_ended():
            self._kill_group()
            self._process.wait()
        return self._process.returncode

    def terminate(self) -> None:
        """Ask the child to end (SIGTERM)."""
        if self.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """End the child: SIGTERM, and SIGKILL for what is left after its time."""
        self.terminate()
        deadline = time.monotonic() + self._stop_seconds
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.kill()

    def kill(self) -> None:
        """End the child and everything it started, at once."""
        if self.poll() is None:
            self._kill_group()
            self._process.wait()

    def wait_until(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until ``ready`` is true. Raises LocalStackError with the last output if child or time end first."""
        deadline = time.monotonic() + seconds
        while True:
            if (code := self.poll()) is not None:
                raise LocalStackError(f"{self.name} ended with exit code {code} before {what}{self.tail()}")
            if ready():
                return
            if time.monotonic() > deadline:
                raise LocalStackError(f"{self.name}: not {what} after {seconds:g} s{self.tail()}")
            time.sleep(0.02)

    def _has_ended(self) -> bool:
        # Seen before it is reaped: until then its id, which is its group's, cannot be another process's.
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of output, for a message."""
        try:
            found = self.log.read_text(errors="replace").splitlines()[-lines:]
        except OSError:
            found = []
        return "".join(f"\n  {line}" for line in found) + f"\n(all of it: {self.log})"


def _start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None) -> _Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    tethered = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(signal.SIGTERM)), *command]
    starting: Future[_Process] = Future()
    try:
        _starter(os.getpid()).start(starting, partial(_popen, tethered, log, environment))
        return starting.result()
    except OSError as exc:
        raise LocalStackError(f"cannot start {command[0]}: {exc}") from exc
    except BaseException:
        # Interrupted, and nobody will ever know of this child.
        starting.add_done_callback(_end_unknown)
        raise


def _popen(command: list[str], log: Path, environment: Mapping[str, str] | None) -> _Process:
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment) if environment is not None else None,
            start_new_session=True,
        )


def _end_unknown(starting: Future[_Process]) -> None:
    if starting.exception() is None:
        process = starting.result()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Starter:
    """The thread that starts children.

    Not a ThreadPoolExecutor: one that is interrupted while it starts its thread forgets it, and then waits for it at
    the end of the process without end.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Future[_Process], Callable[[], _Process]]] = SimpleQueue()
        threading.Thread(target=self._serve, name="dagy-children", daemon=True).start()

    def start(self, starting: Future[_Process], make: Callable[[], _Process]) -> None:
        """Make a process in the thread; the future will have it, or what was raised."""
        self._asked.put((starting, make))

    def _serve(self) -> None:
        while True:
            starting, make = self._asked.get()
            try:
                starting.set_result(make())
            except Exception as exc:  # noqa: BLE001 - raised where it was asked
                starting.set_exception(exc)


@lru_cache(maxsize=1)
def _starter(pid: int) -> _Starter:  # noqa: ARG001
    """Return the thread that starts children; a forked process gets one of its own."""
    return _Starter()
