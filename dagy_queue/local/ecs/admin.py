"""Hooks for tests and operation, beside the API: faults, spot interruptions, limits, statistics and metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dagy_queue.local.ecs.buckets import AWS_DEFAULT_LIMITS, Limits, Rate
from dagy_queue.local.ecs.lifecycle import SPOT_INTERRUPTED
from dagy_queue.local.ecs.metadata import metadata
from dagy_queue.local.ecs.reading import Json, flag, integer, invalid, text, texts
from dagy_queue.local.ecs.run_task import World
from dagy_queue.local.ecs.runs import CLOSING, Runs
from dagy_queue.local.ecs.runtimes.registry import Runtimes
from dagy_queue.local.ports import AwsError


class Admin:
    """The actions of ``LocalEcs.admin``."""

    def __init__(self, world: World, runs: Runs, runtimes: Runtimes) -> None:
        self._world = world
        self._runs = runs
        self._runtimes = runtimes
        self._actions = {
            "faults": self.faults,
            "release": self.release,
            "interrupt": self.interrupt,
            "limits": self.limits,
            "stats": self.stats,
            "reset": self.reset,
            "metadata": self.metadata,
        }

    async def act(self, action: str, body: Mapping[str, Any]) -> Json:
        """Do what an action says. Raises AwsError for one that is unknown."""
        handler = self._actions.get(action)
        if handler is None:
            raise AwsError(
                "UnknownOperationException", f"Unknown action '{action}'; known are {', '.join(self._actions)}."
            )
        return handler(body)

    def faults(self, body: Mapping[str, Any]) -> Json:
        """Put fault rules in force (see :mod:`faults`) and return all that are; an empty body only returns them."""
        self._world.faults.update(body)
        return self._world.faults.describe()

    def release(self, body: Mapping[str, Any]) -> Json:
        """Let go of held answers: ``{"operation": "RunTask"}``, or of every operation."""
        return {"released": self._world.faults.release(text(body, "operation"))}

    def interrupt(self, body: Mapping[str, Any]) -> Json:
        """Interrupt running Spot tasks: ``{"tasks": [ids or ARNs]}``, the oldest ``{"count": n}``, or all of them."""
        wanted = texts(body, "tasks")
        spot = [task for task in self._runs.alive() if task.is_spot and task.last_status == "RUNNING"]
        chosen = [task for task in spot if not wanted or task.arn in wanted or task.id in wanted]
        chosen = chosen[: integer(body, "count", len(chosen))]
        for task in chosen:
            self._runs.stop(task, SPOT_INTERRUPTED)
        return {"interrupted": [task.arn for task in chosen]}

    def limits(self, body: Mapping[str, Any]) -> Json:
        """Change the rate limits: ``{"preset": "aws" | "none", "run_task_calls": {"per_second": 20, "burst": 20}}``."""
        presets = {"aws": AWS_DEFAULT_LIMITS, "none": Limits()}
        preset = text(body, "preset", "none")
        if preset not in presets:
            raise invalid(f"Unknown preset '{preset}'; known are aws and none.")
        rates = {name: rate for name, rate in body.items() if name != "preset"}
        try:
            changed = {name: None if rate is None else Rate(**rate) for name, rate in rates.items()}
            self._world.meters.change(replace(presets[preset], **changed))
        except TypeError as exc:
            raise invalid(f"limits: {exc}") from exc
        return {}

    def stats(self, _body: Mapping[str, Any]) -> Json:
        """Return what was counted since the start or the last reset."""
        return {
            **self._world.stats.describe(),
            "held": self._world.faults.held,
            "fork_server_pid": self._runtimes.forked.pid,
        }

    def reset(self, body: Mapping[str, Any]) -> Json:
        """Lift faults, zero statistics and fill the buckets; with ``{"tasks": true}`` also stop and forget tasks."""
        self._world.faults.clear()
        self._world.stats.reset()
        self._world.meters.refill()
        if flag(body, "tasks"):
            self._world.tokens.clear()
            self._world.store.forget_stopped()
            for task in self._runs.alive():
                self._runs.stop(task, CLOSING)
        return {}

    def metadata(self, body: Mapping[str, Any]) -> Json:
        """Return what the metadata endpoint serves: ``{"id": runtime id, "path": "/task"}``. Raises with status 404."""
        found = self._world.store.of_runtime(text(body, "id"))
        document = None
        if found is not None:
            task, index = found
            document = metadata(task, task.containers[index], text(body, "path"))
        if document is None:
            raise AwsError("ResourceNotFoundException", "Not found.", status=404)
        return document
