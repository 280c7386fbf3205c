"""From a flow's name and version to its artifact; the launcher's only read of DynamoDB, remembered per process."""

from __future__ import annotations

import time
from collections.abc import Callable

from dagy_queue.errors import FlowNotFound
from dagy_queue.launching.remembered import FOR_EVER, Remembered
from dagy_queue.records.attributes import LATEST
from dagy_queue.records.flows import RegisteredFlow, find_flow

_Key = tuple[str, str, str]


class FlowResolver:
    """Finds registered flows. What a version is never changes; what 'latest' means, and what is deprecated, may."""

    def __init__(
        self,
        ttl: float,
        find: Callable[[str, str, str], RegisteredFlow | None] = find_flow,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl = ttl
        self._find = find
        self._flows: Remembered[_Key, RegisteredFlow] = Remembered(clock)
        self._begun: Remembered[_Key, RegisteredFlow] = Remembered(clock)

    def resolve(self, org_id: str, name: str, version: str) -> RegisteredFlow:
        """Return the flow that a run begins with.

        Raises FlowNotFound, also for a version that is deprecated, or an AwsError if the registry cannot be read.
        """
        key = (org_id, name, version)
        flow = self._flows.get(key, lambda: self._read(*key), self._ttl)
        if not flow.is_active:
            why = f" ({flow.status_reason})" if flow.status_reason else ""
            raise FlowNotFound(
                f"flow {name!r} version {version!r} of org {org_id!r} is deprecated{why}; launch another version, or "
                f"allow this one again with `dagy-queue flow activate {name}@{version} --org {org_id}`"
            )
        return flow

    def resolve_begun(self, org_id: str, name: str, version: str) -> RegisteredFlow:
        """Return the version that a run began with earlier: it keeps it, even if that was deprecated since."""
        key = (org_id, name, version)
        return self._begun.get(key, lambda: self._read(*key), FOR_EVER)

    def _read(self, org_id: str, name: str, version: str) -> RegisteredFlow:
        flow = self._find(org_id, name, version)
        if flow is None:
            or_else = ", or all of its versions are deprecated" if version == LATEST else ""
            raise FlowNotFound(
                f"flow {name!r} version {version!r} is not registered for org {org_id!r}{or_else}; "
                f"build and register it with `dagy-queue flow push FILE --org {org_id}`"
            )
        return flow
