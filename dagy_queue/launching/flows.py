"""From a flow's name and version to its artifact; the launcher's only read of DynamoDB, remembered per process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dagy_queue.errors import FlowNotFound
from dagy_queue.records.flows import RegisteredFlow, find_flow
from dagy_queue.records.models import LATEST

_MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class _Remembered:
    flow: RegisteredFlow
    until: float


class FlowResolver:
    """Finds registered flows. A version never changes, so it is read once; 'latest' is read again every few seconds."""

    def __init__(
        self,
        latest_ttl: float,
        find: Callable[[str, str, str], RegisteredFlow | None] = find_flow,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._latest_ttl = latest_ttl
        self._find = find
        self._clock = clock
        self._flows: dict[tuple[str, str, str], _Remembered] = {}
        self._lock = threading.Lock()

    def resolve(self, org_id: str, name: str, version: str) -> RegisteredFlow:
        """Return the flow. Raises FlowNotFound, or an AwsError if the registry cannot be read."""
        key = (org_id, name, version)
        found = self._flows.get(key)
        if found and found.until > self._clock():
            return found.flow
        with self._lock:
            found = self._flows.get(key)
            if found and found.until > self._clock():
                return found.flow
            flow = self._find(org_id, name, version)
            if flow is None:
                raise FlowNotFound(
                    f"flow {name!r} version {version!r} is not registered for org {org_id!r}; "
                    f"build and register it with `dagy-queue flow push FILE --org {org_id}`"
                )
            if len(self._flows) >= _MAX_REMEMBERED:
                self._flows.clear()
            ttl = self._latest_ttl if version == LATEST else float("inf")
            self._flows[key] = _Remembered(flow, self._clock() + ttl)
            return flow
