"""``dagy-queue up``: the whole stack in the foreground until Ctrl-C. Called by the command line."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dagy_queue.errors import LocalStackError
from dagy_queue.interrupts import interrupted_by
from dagy_queue.local.directories import held, writing
from dagy_queue.local.environment import exports
from dagy_queue.local.flower_login import login_of
from dagy_queue.local.free_port import free_port
from dagy_queue.local.log_follower import LogFollower
from dagy_queue.local.port_check import check_ports
from dagy_queue.local.processes import Child
from dagy_queue.local.readiness import bridge_ready, dispatchers_ready, flower_ready
from dagy_queue.local.stack import LocalStack
from dagy_queue.local.supervisor import Service, Supervisor
from dagy_queue.settings.secrets import without_secrets

READY_SECONDS = 60.0
STATE_DIR = Path(".dagy")
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What ``dagy-queue up`` was asked for. Ports are on 127.0.0.1; 0 picks a free one.

    ``flower_login`` is the file that keeps Flower's login. ``ecs`` is what LocalStack takes for the local ECS, such as
    ``limits="aws"``.
    """

    redis_port: int = 6399
    aws_port: int = 4566
    flower_port: int = 5555
    redis_url: str | None = None
    dispatchers: int = 1
    no_flower: bool = False
    flower_login: Path = STATE_DIR / "flower-login"
    data_dir: Path | None = None
    log_dir: Path = STATE_DIR / "logs"
    env_file: Path = STATE_DIR / "env"
    verbose: bool = False
    ecs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def flower_installed(self) -> bool:
        """Whether Flower can be started at all."""
        return importlib.util.find_spec("flower") is not None

    @property
    def with_flower(self) -> bool:
        """Whether Flower is started."""
        return self.flower_installed and not self.no_flower

    @property
    def wanted_ports(self) -> dict[str, int]:
        """The ports that must be free, by service."""
        wanted = {"aws": self.aws_port}
        if not self.redis_url:
            wanted["redis"] = self.redis_port
        if self.with_flower:
            wanted["flower"] = self.flower_port
        return wanted


def run_up(options: UpOptions, console: Console | None = None) -> int:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; return the exit code.

    Raises LocalStackError if it cannot start; whatever was started is stopped in any case.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    check_ports(options.wanted_ports)
    with writing(), ExitStack() as holding:
        holding.enter_context(held(options.log_dir, "start this one in another directory"))
        if options.data_dir:
            holding.enter_context(held(options.data_dir, "give this one another --data-dir"))
        return _run_stack(options, console)


def _run_stack(options: UpOptions, console: Console) -> int:
    _prepare_directories(options)
    stack = LocalStack(
        redis_url=options.redis_url,
        redis_port=options.redis_port,
        aws_port=options.aws_port,
        data_dir=options.data_dir,
        log_dir=options.log_dir.absolute(),
        **options.ecs,
    )
    with LogFollower(console, options.log_dir, enabled=options.verbose), _interrupted(console):
        try:
            with stack:
                return _run(stack, options, console)
        except KeyboardInterrupt:
            console.print("stopped")
            return 0


def _run(stack: LocalStack, options: UpOptions, console: Console) -> int:
    flower = (
        _Flower(options.flower_port or free_port(), login_of(options.flower_login)) if options.with_flower else None
    )
    services = _services(stack, options, flower)
    supervisor = Supervisor(services, stack.foundation, lambda text: console.print(escape(text), style="yellow"))
    _write_environment(options.env_file, stack.environment)
    console.print(_table(stack, options, flower))
    console.print(exports(stack.environment), end="", markup=False)
    console.print(f"(the same lines: source {options.env_file})", markup=False)
    if not options.flower_installed and not options.no_flower:
        console.print("Flower is not installed: pip install 'dagy-queue[monitor]'", markup=False)
    supervisor.start(READY_SECONDS)
    console.print("ready", style="bold green")
    try:
        supervisor.run()
    except LocalStackError as exc:
        console.print(f"{exc}\nthe stack cannot go on without it", style="bold red", markup=False)
    return 1


@dataclass(frozen=True, slots=True)
class _Flower:
    """Where Flower is, and its login."""

    port: int
    login: str

    @property
    def shown(self) -> str:
        """What a browser opens, and what it asks for. Within the address, Chrome would not send it with commands."""
        user, _, password = self.login.partition(":")
        return f"http://127.0.0.1:{self.port} (user {user}, password {password})"


def _services(stack: LocalStack, options: UpOptions, flower: _Flower | None) -> list[Service]:
    found = [
        Service(
            f"dispatcher-{number}",
            _starter(stack, "dispatcher", f"dispatcher-{number}"),
            lambda number=number: dispatchers_ready(stack.redis_url, number),  # type: ignore[misc]
        )
        for number in range(1, options.dispatchers + 1)
    ]
    queue_url = stack.provisioned.queue_url
    found.append(
        Service("bridge", _starter(stack, "bridge", "bridge"), lambda: bridge_ready(stack.endpoint_url, queue_url))
    )
    if flower:
        environment = {"FLOWER_BASIC_AUTH": flower.login}
        start = _starter(stack, "flower", "flower", f"--port={flower.port}", environment=environment)
        found.append(Service("flower", start, lambda: flower_ready(flower.port)))
    return found


def _starter(
    stack: LocalStack, name: str, label: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Any:
    def start() -> Child:
        return stack.spawn(name, *arguments, label=label, environment=environment)

    return start


def _table(stack: LocalStack, options: UpOptions, flower: _Flower | None) -> Table:
    table = Table("service", "where", "log", box=None, pad_edge=False, header_style="bold")
    logs = options.log_dir
    table.add_row("Redis", without_secrets(stack.redis_url), "yours" if options.redis_url else str(logs / "redis.log"))
    table.add_row("AWS", stack.endpoint_url, str(logs / "aws.log"))
    for number in range(1, options.dispatchers + 1):
        table.add_row("dispatcher", "queues dagy.*", str(logs / f"dispatcher-{number}.log"))
    table.add_row("bridge", stack.provisioned.queue_url.rsplit("/", 1)[-1], str(logs / "bridge.log"))
    if flower:
        table.add_row("Flower", flower.shown, str(logs / "flower.log"))
    return table


def _write_environment(path: Path, environment: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its own user's alone: the URL of a Redis of theirs may have a password.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "w") as file:
        file.write(exports(environment))


def _prepare_directories(options: UpOptions) -> None:
    for old in options.log_dir.glob("*.log"):
        old.unlink()
    if STATE_DIR.is_dir():
        (STATE_DIR / ".gitignore").write_text("*\n")


def _interrupted(console: Console) -> AbstractContextManager[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into KeyboardInterrupt; later ones do not disturb the stopping."""

    def interrupt() -> KeyboardInterrupt:
        console.print("stopping")
        return KeyboardInterrupt()

    return interrupted_by((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), interrupt)
