"""The gateway's own routes under ``/_local``: health, statistics, ECS faults, task metadata, raw events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from dagy_queue.local.gateway.http import Answer, plain, read_json
from dagy_queue.local.ports import AwsError

PRODUCT = "dagy_queue local gateway"
"""What ``/_local/health`` says it is; ``up`` recognises a stack that runs already by it."""


class LocalRoutes:
    """Answers what is not AWS."""

    def __init__(self, *, ecs: Any, sqs: Any, events: Any, calls: Counter[str], about: Mapping[str, Any]) -> None:
        self._ecs = ecs
        self._sqs = sqs
        self._events = events
        self._calls = calls
        self._about = {"status": "ok", "product": PRODUCT, **about}
        self.is_ready = True
        """False until everything that was to be made is there."""

    async def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Serve one request; errors are ``{"error": code, "message": text}``."""
        try:
            parts = path.removeprefix("/_local/").strip("/").split("/")
            return plain(await self._routed(method, parts, read_json(body)))
        except AwsError as exc:
            return plain({"error": exc.code, "message": exc.message}, exc.status)

    async def _routed(self, method: str, parts: list[str], body: Mapping[str, Any]) -> Any:
        found: Any = {}
        match parts:
            case ["health"] if not self.is_ready:
                raise AwsError("NotReady", "buckets, queues and tables are being made", status=503)
            case ["health"]:
                found = self._about
            case ["stats"]:
                found = {"calls": dict(self._calls), "events": dict(self._events.counts)}
            case ["sqs", "stats"]:
                found = self._sqs.stats()
            case ["sqs", "release"] if method == "POST":
                self._sqs.release()
            case ["events"] if method == "POST":
                await self._events.put_event(body)
            case ["metadata", task, *rest]:
                found = await self._ecs.admin("metadata", {"id": task, "path": "".join(f"/{one}" for one in rest)})
            case ["ecs", action]:
                found = await self._ecs.admin(action, body)
            case _:
                raise AwsError("NotFound", f"there is no /_local/{'/'.join(parts)}", status=404)
        return found
