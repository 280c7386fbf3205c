"""The processes of the demo: the product's, and the worker of the demo's own application."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from dagy_queue.errors import LocalStackError
from dagy_queue.local.environment import environ, process_environment
from dagy_queue.local.free_port import free_port
from dagy_queue.local.processes import Child
from dagy_queue.local.readiness import bridge_ready, dispatchers_ready, flower_ready
from dagy_queue.local.stack import LocalStack
from scripts.demo_support.attached import AttachedStack

READY_SECONDS = 60.0
WORKER = ("-m", "celery", "-A", "scripts.demo_support.application", "worker", "--pool=solo", "--queues=flights")
"""The application's worker, as its user would start it."""


class Services:
    """Dispatcher, bridge, Flower and the application's worker, on a stack; of one that runs already the last alone."""

    def __init__(self, stack: LocalStack | AttachedStack) -> None:
        self.stack = stack
        self.flower_url = ""
        self._children: dict[str, Child] = {}

    def start(self, *, flower: bool) -> None:
        """Start all of them."""
        stack = self.stack
        if isinstance(stack, LocalStack):
            self._children["dispatcher"] = stack.spawn("dispatcher")
            self._children["bridge"] = stack.spawn("bridge")
            if flower:
                port = free_port()
                self._children["flower"] = stack.spawn("flower", f"--port={port}")
                self.flower_url = f"http://127.0.0.1:{port}"
        log, environment = stack.log_dir / "application.log", process_environment(stack.environment)
        command = [sys.executable, *WORKER]
        self._children["application"] = Child("application", command, log=log, environment=environment)

    def wait_until_ready(self) -> None:
        """Wait for everything that runs need; Flower may take its time. Raises LocalStackError."""
        stack, queue_url = self.stack, self.stack.environment["DAGY_EVENT_QUEUE_URL"]
        # The application's worker answers the same ping as the dispatcher, so there are two.
        ready = {
            "dispatcher": lambda: dispatchers_ready(stack.redis_url, 2),
            "bridge": lambda: bridge_ready(stack.endpoint_url, queue_url),
        }
        for name, is_ready in ready.items():
            if child := self._children.get(name):
                child.wait_until(is_ready, READY_SECONDS, "ready")
            else:
                self._children["application"].wait_until(is_ready, READY_SECONDS, f"joined by a {name} that is ready")

    def wait_for_flower(self) -> None:
        """Wait until Flower serves pages. Raises LocalStackError."""
        port = int(self.flower_url.rsplit(":", 1)[1])
        self._children["flower"].wait_until(lambda: flower_ready(port), READY_SECONDS, "serving pages")

    def check(self) -> None:
        """Raise LocalStackError with its last output if a process has ended."""
        for child in [*self.stack.foundation, *self._children.values()]:
            if (code := child.poll()) is not None:
                raise LocalStackError(f"{child.name} ended with exit code {code}{child.tail()}")

    def stop(self) -> None:
        """Stop the application's worker; the stack stops the others."""
        if worker := self._children.get("application"):
            worker.stop()


@contextmanager
def running(*, flower: bool, against: Path | None = None) -> Iterator[Services]:
    """Start everything, with this process's environment leading to it, and stop it at the end.

    With ``against``, the file of a stack's environment, only what that stack does not have. The logs are kept if the
    demo fails, and the error has a note that says where.
    """
    logs = Path(tempfile.mkdtemp(prefix="dagy-demo-logs-"))
    try:
        with _stack(against, logs) as stack, environ(stack.environment):
            services = Services(stack)
            try:
                services.start(flower=flower)
                yield services
            finally:
                services.stop()
    except Exception as exc:
        exc.add_note(f"the logs are in {logs}")
        raise
    except BaseException:
        shutil.rmtree(logs, ignore_errors=True)
        raise
    shutil.rmtree(logs, ignore_errors=True)


def _stack(against: Path | None, logs: Path) -> AbstractContextManager[LocalStack | AttachedStack]:
    return nullcontext(AttachedStack.of(against, logs)) if against else LocalStack(log_dir=logs)
