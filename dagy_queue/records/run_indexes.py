"""The ways to a run's record other than its id: the indexes of DAGY_RUNS and the keys that items have in them.

Each index has the org first in its partition key, so that no read can cross orgs. ``RunModel`` writes the keys, and
``records/run_queries.py`` reads by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pynamodb.attributes import NumberAttribute, UnicodeAttribute, UTCDateTimeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection

_LISTED = (
    *("org_id", "flow_name", "flow_version", "status", "phase", "attempt", "correlation_id", "batch_id", "shard"),
    *("environment", "trigger_source", "task_arn", "created_at", "started_at", "completed_at", "error_message"),
)
"""What lists show of a run. Heartbeats are not among it: each would be written to every index."""

_CHILD = re.compile(r"(:[0-9]+)+\Z")


def org_key(org_id: str, value: str) -> str:
    """Return the partition key of an index. An org's name has no '#', so no key of one org can be another's."""
    return f"{org_id}#{value}"


def trace_of(correlation_id: str) -> str:
    """Return the correlation id that all began with: ``req-1`` of ``req-1``, of ``req-1:0`` and of ``req-1:0:7``."""
    return _CHILD.sub("", correlation_id) or correlation_id


def index_keys(org_id: str, flow_name: str, batch_id: str, correlation_id: str) -> dict[str, str]:
    """Return the keys that a run has in the indexes; what it lacks keeps it out of one."""
    if not org_id:
        return {}
    values = {"org_flow": flow_name, "org_batch": batch_id, "org_trace": trace_of(correlation_id)}
    return {name: org_key(org_id, value) for name, value in values.items() if value}


def _listed(*keys: str) -> Any:
    return IncludeProjection([name for name in _LISTED if name not in keys])


class RunsByOrg(GlobalSecondaryIndex[Any]):
    """An org's runs by time."""

    class Meta:
        """What the index is called and holds."""

        index_name = "by_org"
        projection = _listed("org_id", "created_at")

    org_id = UnicodeAttribute(hash_key=True)
    created_at = UTCDateTimeAttribute(range_key=True)


class RunsByFlow(GlobalSecondaryIndex[Any]):
    """A flow's runs by time."""

    class Meta:
        """What the index is called and holds."""

        index_name = "by_flow"
        projection = _listed("created_at")

    org_flow = UnicodeAttribute(hash_key=True)
    created_at = UTCDateTimeAttribute(range_key=True)


class RunsByBatch(GlobalSecondaryIndex[Any]):
    """A batch's runs by shard."""

    class Meta:
        """What the index is called and holds."""

        index_name = "by_batch"
        projection = _listed("shard")

    org_batch = UnicodeAttribute(hash_key=True)
    shard = NumberAttribute(range_key=True)


class RunsByCorrelation(GlobalSecondaryIndex[Any]):
    """The runs that go back to one correlation id, by their own."""

    class Meta:
        """What the index is called and holds."""

        index_name = "by_correlation"
        projection = _listed("correlation_id")

    org_trace = UnicodeAttribute(hash_key=True)
    correlation_id = UnicodeAttribute(range_key=True)


def with_index_keys(item: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Return an item as it is written: with its keys, and without the empty texts that DynamoDB refuses in keys."""
    empty = {name for name in ("org_id", "correlation_id") if item.get(name, {}).get("S") == ""}
    own = {name: value for name, value in item.items() if name not in empty}
    return own | {name: {"S": value} for name, value in keys.items()}
