"""docker-compose.yml where no engine is: the same commands with the same environments, as plain processes.

Each service's name becomes 127.0.0.1, and each port of a container a free one, wherever they stand: in commands,
environments and health checks. Redis's own image is played by this machine's server.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dagy_queue.local.free_port import free_port
from dagy_queue.local.redis_server import answers, find_server
from tests.integration.waiting import eventually

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
HEALTHY_SECONDS = 90.0

_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?::-(?P<default>[^{}]*))?\})")


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """Put in variables as the compose specification has it, of which we use ``${NAME:-default}`` and ``$$``."""

    def value(found: re.Match[str]) -> str:
        return "$" if found["escaped"] else environ.get(found["name"]) or found["default"] or ""

    return _VARIABLE.sub(value, text)


def read_compose(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the file as an engine understands it: with variables put in and anchors merged."""
    document: dict[str, Any] = yaml.safe_load(interpolate(FILE.read_text(), environ or {}))
    return document


@dataclass
class Here:
    """Where everything of a compose file is on this machine."""

    services: Mapping[str, Any]
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give every port of a container a free one here."""
        text = yaml.safe_dump([{**service, "environment": {}} for service in self.services.values()])
        inside = set(re.findall(r":(\d{4,5})\b|--port=(\d+)|\"port\": (\d+)|^ *- '?(\d{4,5})'?$", text, re.MULTILINE))
        inside |= {(str(value),) for s in self.services.values() for name, value in _environment(s) if "_PORT" in name}
        self.ports = {port: free_port() for found in inside for port in found if port and int(port) != 0}

    def at(self, text: str) -> str:
        """Return a text of the file as it has to be here."""
        names = "|".join(map(re.escape, self.services))
        text = re.sub(rf"(?<=//)(?:{names})(?=:)|\b0\.0\.0\.0\b", "127.0.0.1", text)
        return re.sub(r"(?<![\w.-])\d{4,5}(?![\w.-])", lambda found: str(self.ports.get(found[0], found[0])), text)


class ComposeUp:
    """``docker compose up`` of the file."""

    def __init__(self, directory: Path) -> None:
        self.services: Mapping[str, Any] = read_compose()["services"]
        self.here = Here(self.services)
        self.directory = directory
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start every service when those that it depends on are healthy, and wait until all are."""
        waiting = dict(self.services)
        while waiting:
            name = next(n for n, s in waiting.items() if not set(s.get("depends_on", ())) & waiting.keys())
            for other, wanted in waiting.pop(name).get("depends_on", {}).items():
                assert wanted == {"condition": "service_healthy"}
                self.wait_for(other)
            self.running[name] = self._start(name)
        for name in self.services:
            self.wait_for(name)

    def wait_for(self, name: str) -> None:
        """Wait until the health check of a service passes."""
        eventually(lambda: self.is_healthy(name), f"{name} is healthy", HEALTHY_SECONDS)

    def is_healthy(self, name: str) -> bool:
        """Run a service's health check once."""
        process = self.running[name]
        assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log(name)}"
        kind, *test = self.services[name]["healthcheck"]["test"]
        if test == ["redis-cli", "ping"]:
            return answers(f"redis://127.0.0.1:{self.here.ports['6379']}/0")
        command = ["sh", "-c", *test] if kind == "CMD-SHELL" else test
        return self._succeeds([self.here.at(word) for word in command], name)

    def stop(self) -> dict[str, int]:
        """Stop every service within its grace period, the last first; return their exit codes."""
        codes = {}
        for name in reversed(self.running):
            process = self.running[name]
            process.send_signal(signal.SIGTERM)
            codes[name] = process.wait(_seconds(self.services[name]["stop_grace_period"]))
        self.running.clear()
        return codes

    def kill(self) -> None:
        """End what is left."""
        for process in self.running.values():
            process.kill()
            process.wait()

    def environment(self, name: str) -> dict[str, str]:
        """Return a service's whole environment: the file's, and what an image has."""
        own = {key: self.here.at(str(value)) for key, value in _environment(self.services[name])}
        image = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(self.directory)}
        return {**image, "HOSTNAME": socket.gethostname(), "PYTHONUNBUFFERED": "1", **own}

    def log(self, name: str) -> str:
        """Return what a service wrote."""
        return (self.directory / f"{name}.log").read_text()

    def command(self, name: str) -> list[str]:
        """Return a service's command."""
        first, *words = [self.here.at(str(word)) for word in self.services[name]["command"]]
        if first != "redis-server":
            return [first, *words]
        (self.directory / "data").mkdir(exist_ok=True)
        words = [str(self.directory / "data") if word == "/data" else word for word in words]
        return [str(find_server()), "--bind", "127.0.0.1", "--port", str(self.here.ports["6379"]), *words]

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        command, environment = self.command(name), self.environment(name)
        with (self.directory / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=environment, cwd=self.directory, stdout=log, stderr=log)

    def _succeeds(self, command: Sequence[str], name: str) -> bool:
        # Machines that run tests may be slower than those that run containers.
        seconds = 4 * _seconds(self.services[name]["healthcheck"]["timeout"])
        try:
            done = subprocess.run(
                command,
                env=self.environment(name),
                cwd=self.directory,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def _environment(service: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list((service.get("environment") or {}).items())


def _seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text.removesuffix("s"))
