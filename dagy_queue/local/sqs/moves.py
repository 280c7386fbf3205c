"""Redrive from a dead-letter queue: StartMessageMoveTask and its list. Moves happen at once, so that a task is
COMPLETED when it is answered."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any

from dagy_queue.local.ports import AwsError
from dagy_queue.local.sqs.errors import invalid_value, missing
from dagy_queue.local.sqs.registry import Entry, Registry

KEPT = 10
"""ListMessageMoveTasks shows at most this many of a queue."""


class Moves:
    """The move tasks of the account."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._done: dict[str, deque[dict[str, Any]]] = {}

    def start(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Move every ready message back to where it came from, or to ``DestinationArn``."""
        source = self._source(request)
        target_arn = request.get("DestinationArn")
        fixed = self._registry.by_arn(target_arn) if target_arn else None
        if target_arn and fixed is None:
            raise _not_found()
        moved = 0
        for message in source.queue.ready():
            target = fixed or self._registry.by_arn(message.source_arn or "")
            if target is None:
                continue
            target.queue.send(source.queue.withdraw(message).renewed())
            moved += 1
        handle = str(uuid.uuid4())
        task = {
            "TaskHandle": handle,
            "Status": "COMPLETED",
            "SourceArn": source.arn,
            "ApproximateNumberOfMessagesMoved": moved,
            "ApproximateNumberOfMessagesToMove": moved,
            "StartedTimestamp": int(time.time() * 1000),
        }
        if target_arn:
            task["DestinationArn"] = target_arn
        self._done.setdefault(source.arn, deque(maxlen=KEPT)).appendleft(task)
        return {"TaskHandle": handle}

    def list(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the last move tasks of a queue, newest first."""
        source = self._source(request)
        tasks = list(self._done.get(source.arn, ()))[: request.get("MaxResults", 1)]
        return {"Results": [{k: v for k, v in task.items() if k != "TaskHandle"} for task in tasks]}

    def _source(self, request: Mapping[str, Any]) -> Entry:
        arn = request.get("SourceArn")
        if not arn:
            raise missing("SourceArn")
        source = self._registry.by_arn(arn)
        if source is None:
            raise _not_found()
        if not self._registry.sources_of(arn):
            raise invalid_value("SourceArn", arn, "Source queue must be configured as a Dead Letter Queue.")
        return source


def _not_found() -> AwsError:
    return AwsError(
        "ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist."
    )
