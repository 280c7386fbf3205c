"""The whole local stack as one object, for tests and demonstrations: Redis, AWS, and the product's processes.

with LocalStack() as stack:
    stack.spawn("dispatcher")
    stack.spawn("bridge")
    stack.admin("faults", {...})
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dagy_queue.errors import LocalStackError
from dagy_queue.local import endpoint
from dagy_queue.local.aws_server import AwsServer
from dagy_queue.local.commands import command_of
from dagy_queue.local.environment import process_environment
from dagy_queue.local.gateway import GatewayOptions
from dagy_queue.local.processes import Child
from dagy_queue.local.provision import CLUSTER, Provisioned, provision
from dagy_queue.local.redis_server import RedisServer, require
from dagy_queue.settings import Settings

UNLIMITED_RATES = ("run_task_rate", "launch_rate", "stop_task_rate")
UNLIMITED = {f"DAGY_QUEUE__LIMITS__{name.upper()}": "" for name in UNLIMITED_RATES}
SOON = {"DAGY_QUEUE__RECORDS__LATEST_TTL": "1"}
"""Who pushes a flow on a laptop launches it a moment later, and means what was pushed."""
STOP_SECONDS = 10.0
"""Time for the product's processes to end after SIGTERM."""


class LocalStack:
    """Everything on loopback, stopped in reverse order at exit.

    ``redis_url`` uses a running Redis instead of an embedded one; port 0 picks a free one. Keyword arguments beyond
    those named are LocalEcsConfig's: ``limits`` is ``"aws"`` for AWS's default quotas or a mapping like
    ``{"run_task_calls": {"per_second": 20, "burst": 20}}``, ``simulate`` runs no container processes. With a
    ``data_dir`` Redis's data stays there, with a ``log_dir`` the logs; otherwise both are temporary.
    """

    def __init__(
        self,
        *,
        redis_url: str | None = None,
        aws_port: int = 0,
        redis_port: int = 0,
        data_dir: Path | None = None,
        log_dir: Path | None = None,
        region: str = "us-east-1",
        **ecs: Any,
    ) -> None:
        self._exit = contextlib.ExitStack()
        self._data_dir = data_dir
        self._given_redis_url = redis_url
        self._redis_port = redis_port
        self._options = GatewayOptions(port=aws_port, region=region, cluster=CLUSTER, ecs=ecs)
        self._redis: RedisServer | None = None
        self._aws: AwsServer | None = None
        self._provisioned: Provisioned | None = None
        self._children: list[Child] = []
        self._given_log_dir = log_dir
        self.log_dir = Path()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start Redis and AWS, and make everything in them."""
        temporary = Path(self._exit.enter_context(tempfile.TemporaryDirectory(prefix="dagy-stack-")))
        base = self._data_dir or temporary
        self.log_dir = self._given_log_dir or base / "logs"
        if self._given_redis_url:
            require(self._given_redis_url)
        else:
            self._redis = RedisServer(self._redis_port, base / "redis", self.log_dir / "redis.log")
            self._exit.callback(self._redis.stop)
            self._redis.start()
        self._aws = AwsServer(self._options, self.log_dir / "aws.log")
        self._exit.callback(self._aws.stop)
        self._aws.start()
        self._provisioned = provision(self._aws.url, self.redis_url, region=self._options.region)

    def stop(self) -> None:
        """Stop everything that was started, last first."""
        for child in reversed(self._children):
            child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and any(child.poll() is None for child in self._children):
            self._release_long_polls()
            time.sleep(0.05)
        for child in reversed(self._children):
            child.kill()
        self._children.clear()
        self._exit.close()

    def _release_long_polls(self) -> None:
        """Let a bridge that is told to stop see it now, not at the end of its long poll."""
        if self._provisioned:
            with contextlib.suppress(LocalStackError):
                endpoint.call(self._provisioned.endpoint_url, "sqs/release", {}, seconds=2.0)

    @property
    def redis(self) -> RedisServer:
        """The embedded Redis, to crash and restart it."""
        if self._redis is None:
            raise LocalStackError("this stack has no embedded Redis")
        return self._redis

    @property
    def redis_url(self) -> str:
        """Where Redis is."""
        return self._given_redis_url or self.redis.url

    @property
    def endpoint_url(self) -> str:
        """Where AWS is."""
        return self.provisioned.endpoint_url

    @property
    def provisioned(self) -> Provisioned:
        """Names and ARNs of what is in the local AWS."""
        if self._provisioned is None:
            raise LocalStackError("the local stack is not running")
        return self._provisioned

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a process to this stack. Without quotas of its own, it needs none kept to."""
        own = {} if self._options.ecs.get("limits") else UNLIMITED
        return {**self.provisioned.environment(), **own, **SOON}

    def settings(self, **sections: Any) -> Settings:
        """Return the settings of a process of this stack."""
        own = {} if self._options.ecs.get("limits") else {"limits": dict.fromkeys(UNLIMITED_RATES)}
        return self.provisioned.settings(**{**own, **sections})

    def admin(self, action: str, body: Mapping[str, Any] | None = None) -> Any:
        """Run a control action of the local ECS, such as injecting a fault."""
        return endpoint.call(self.endpoint_url, f"ecs/{action}", body or {})

    def stats(self) -> Any:
        """Return the number of AWS calls by ``service.operation``, and what became of events."""
        return endpoint.call(self.endpoint_url, "stats")

    def sqs_stats(self) -> Any:
        """Return counters and depths of every queue."""
        return endpoint.call(self.endpoint_url, "sqs/stats")

    @property
    def foundation(self) -> list[Child]:
        """The processes without which nothing here works: Redis, if it is ours, and AWS."""
        found = [self._redis.child] if self._redis else []
        return [*found, self._aws.child] if self._aws else found

    @property
    def children(self) -> list[Child]:
        """The processes that were spawned, in order."""
        return list(self._children)

    def spawn(self, name: str, *arguments: str, label: str = "", environment: Mapping[str, str] | None = None) -> Child:
        """Start a ``dispatcher``, ``bridge``, ``api`` or ``flower`` of this stack; its output goes to ``<label>.log``.

        Without a label it is numbered; with the label of an earlier one, it takes that one's place.
        """
        label = label or f"{name}-{1 + sum(child.name.startswith(name) for child in self._children)}"
        self.end(label)
        child = Child(
            label,
            command_of(name, arguments),
            log=self.log_dir / f"{label}.log",
            environment=process_environment({**self.environment, "PYTHONUNBUFFERED": "1", **(environment or {})}),
        )
        self._children.append(child)
        return child

    def end(self, label: str) -> None:
        """Stop the child of this label, if there is one."""
        for child in [child for child in self._children if child.name == label]:
            child.stop()
            self._children.remove(child)
