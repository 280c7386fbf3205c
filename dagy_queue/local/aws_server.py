"""The gateway as a child process; ``local.stack`` and ``local.up`` start and stop it."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path

from dagy_queue.errors import LocalStackError
from dagy_queue.local.endpoint import health
from dagy_queue.local.environment import NO_PROFILES, process_environment
from dagy_queue.local.gateway import GatewayOptions
from dagy_queue.local.processes import Child

START_SECONDS = 30.0
GATEWAY = ("-m", "dagy_queue.local.gateway")
NEEDED = ("flask", "flask_cors", "httptools", "moto", "uvicorn")
"""What the ``local`` extra brings for the gateway."""
_LISTENING = re.compile(r"^(http://\S+:\d+)$", re.MULTILINE)


class AwsServer:
    """One local AWS. Its state lives in its process and ends with it."""

    def __init__(self, options: GatewayOptions, log: Path) -> None:
        self._options = options
        self._log = log
        self._child: Child | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The endpoint URL."""
        return self._url

    @property
    def child(self) -> Child:
        """The gateway's process."""
        if self._child is None:
            raise LocalStackError("the local AWS is not running")
        return self._child

    def start(self) -> None:
        """Start the gateway and wait until it is healthy."""
        _require_extra()
        written = self._log.stat().st_size if self._log.exists() else 0
        command = [sys.executable, *GATEWAY, "--options", self._options.to_json()]
        child = Child("aws", command, log=self._log, environment=process_environment(NO_PROFILES), stop_seconds=12)
        self._child = child

        def listening() -> bool:
            found = _LISTENING.search(self._log.read_bytes()[written:].decode(errors="replace"))
            if not found:
                return False
            about = health(found[1])
            self._url = found[1]
            return about is not None and about["pid"] == child.pid

        try:
            child.wait_until(listening, START_SECONDS, "healthy")
        except LocalStackError:
            child.kill()
            raise
        # Started again, it must be found where it was.
        self._options = replace(self._options, port=int(self._url.rsplit(":", 1)[1]))

    def stop(self) -> None:
        """End the gateway, with the containers it runs."""
        if self._child:
            self._child.stop()
            self._child = None


def _require_extra() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise LocalStackError(f"the local AWS needs {', '.join(missing)}: pip install 'dagy-queue[local]'")
