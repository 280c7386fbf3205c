"""The local ECS itself: it takes a call, lets faults and limits have their say, and answers as ECS would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from dagy_queue.local.ecs.admin import Admin
from dagy_queue.local.ecs.buckets import Meters
from dagy_queue.local.ecs.clusters import Clusters
from dagy_queue.local.ecs.config import LocalEcsConfig
from dagy_queue.local.ecs.delivery import EventDelivery
from dagy_queue.local.ecs.faults import DroppedAnswer, Faults, Verdict, throttled
from dagy_queue.local.ecs.lifecycle import Host, NoSecrets
from dagy_queue.local.ecs.reading import Json
from dagy_queue.local.ecs.run_task import RunTask, World
from dagy_queue.local.ecs.runs import Runs
from dagy_queue.local.ecs.runtimes.registry import Runtimes
from dagy_queue.local.ecs.stats import Stats
from dagy_queue.local.ecs.tagging import Tagging
from dagy_queue.local.ecs.task_definitions import TaskDefinitions
from dagy_queue.local.ecs.task_operations import TaskOperations
from dagy_queue.local.ecs.task_store import TaskStore
from dagy_queue.local.ecs.tokens import TokenLedger
from dagy_queue.local.ports import AwsError, EventSink, LogSink, SecretSource

Handler = Callable[[Mapping[str, Any]], Json]
_THROTTLES = ("ThrottlingException", "Rate exceeded (ErrorCode: Throttling)")


class LocalEcs:
    """ECS with its rules, running tasks as processes of this machine.

    ``start`` and ``close`` frame its life; every process it started ends with it. ``call`` answers the JSON
    protocol's operations, ``admin`` the hooks for tests and operation (see :class:`admin.Admin`).
    """

    def __init__(
        self, config: LocalEcsConfig, events: EventSink, logs: LogSink, secrets: SecretSource | None = None
    ) -> None:
        self._config = config
        rng = Random(config.seed)
        self._faults = Faults(Random(config.seed))
        self._faults.update(config.faults)
        self._stats = Stats()
        self._meters = Meters(config.limits, config.clock)
        self._runtimes = Runtimes(config, logs)
        self._delivery = EventDelivery(events, config.realm, self._faults, self._stats, rng)
        store = TaskStore(config.clock, config.stopped_retention_seconds)
        tokens = TokenLedger(config.clock)
        host = Host(config, self._runtimes, self._delivery, secrets or NoSecrets(), self._faults, self._stats, store)
        self._runs = Runs(host)
        self._is_closed = False
        clusters = Clusters(config.realm, store, tuple(config.clusters))
        definitions = TaskDefinitions(config.realm, config.clock)
        world = World(config, clusters, definitions, store, tokens, self._meters, self._faults, self._stats, rng)
        tasks = TaskOperations(config, clusters, store, self._faults, self._runs.stop)
        self._handlers: dict[str, Handler] = {
            **clusters.operations,
            **definitions.operations,
            **tasks.operations,
            **Tagging(clusters, definitions, store).operations,
            "RunTask": RunTask(world, self._runs.start),
        }
        self._admin = Admin(world, self._runs, self._runtimes)

    @property
    def operations(self) -> tuple[str, ...]:
        """The names of the operations there are."""
        return tuple(sorted(self._handlers))

    async def start(self) -> None:
        """Warm up: the fork server starts in the background."""
        if not self._config.simulate:
            self._runtimes.forked.warm()

    async def close(self) -> None:
        """Stop every task and every process, and give up answers that are held."""
        self._is_closed = True
        self._faults.release("")
        await self._runs.close(self._config.close_grace_seconds)
        await self._runtimes.close()
        await self._delivery.close()

    async def call(self, operation: str, request: Mapping[str, Any]) -> Json:
        """Answer one call. Raises AwsError, or DroppedAnswer when a fault loses the answer."""
        handler = self._handlers.get(operation)
        if handler is None:
            raise AwsError("UnknownOperationException", f"Unknown operation '{operation}'.")
        if self._is_closed:
            raise AwsError("ServerException", "The local ECS is closed.", status=500)
        self._stats.calls[operation] += 1
        verdict = self._faults.judge(operation)
        await _sleep(verdict.delay_before)
        try:
            return self._decide(operation, handler, request, verdict)
        except AwsError as exc:
            self._note_error(operation, exc)
            raise
        finally:
            await _sleep(self._config.api_latency_seconds + verdict.delay_after)
            await self._faults.hold(operation)
            if verdict.drop_answer:
                raise DroppedAnswer(operation)

    async def admin(self, action: str, body: Mapping[str, Any]) -> Json:
        """Answer a hook: faults, release, interrupt, limits, stats, reset or metadata. Raises AwsError."""
        return await self._admin.act(action, body)

    def _decide(self, operation: str, handler: Handler, request: Mapping[str, Any], verdict: Verdict) -> Json:
        if verdict.error is not None:
            raise verdict.error
        if not self._meters.admit_call(operation):
            raise throttled()
        if operation == "RunTask":
            self._stats.run_task_times.append(self._config.clock())
        return handler(request)

    def _note_error(self, operation: str, error: AwsError) -> None:
        self._stats.errors[error.code] += 1
        if error.code == _THROTTLES[0] or _THROTTLES[1] in error.message:
            self._stats.throttled[operation] += 1


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
