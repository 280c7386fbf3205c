"""From a flow's name and version to its artifact; the launcher's only read of DynamoDB, remembered per process."""

from __future__ import annotations

import time
from collections.abc import Callable

from dagy_queue.errors import FlowNotFound
from dagy_queue.launching.remembered import FOR_EVER, Remembered
from dagy_queue.records.flows import RegisteredFlow, find_flow
from dagy_queue.records.models import LATEST


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
        self._flows: Remembered[tuple[str, str, str], RegisteredFlow] = Remembered(clock)

    def resolve(self, org_id: str, name: str, version: str) -> RegisteredFlow:
        """Return the flow. Raises FlowNotFound, or an AwsError if the registry cannot be read."""
        key = (org_id, name, version)
        return self._flows.get(key, lambda: self._read(*key), self._latest_ttl if version == LATEST else FOR_EVER)

    def _read(self, org_id: str, name: str, version: str) -> RegisteredFlow:
        flow = self._find(org_id, name, version)
        if flow is None:
            raise FlowNotFound(
                f"flow {name!r} version {version!r} is not registered for org {org_id!r}; "
                f"build and register it with `dagy-queue flow push FILE --org {org_id}`"
            )
        return flow
