"""A shard's request: its batch's request, overlaid with what differs; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dagy_queue.ids import shard_correlation
from dagy_queue.requests.overlay import overlay

OF_THE_BATCH = frozenset(
    {
        "capacity_provider_strategy",
        "cluster",
        "deployment_name",
        "environment",
        "launch_type",
        "org_id",
        "priority",
        "profile",
        "region",
        "timeout",
    }
)
"""Fields that all shards of a batch share: they count before a shard is looked at by itself."""

PLACE_IN_KWARGS = frozenset({"capacityProviderStrategy", "cluster", "launchType"})
"""Those of them that ``run_task_kwargs`` has as well: slots and lanes are those of the batch's cluster."""

NUMBER = "number"
"""Where a delta keeps the number that its shard had in the batch that is tried again."""


def shared_fields(delta: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields, and their values, that a shard gives although all shards of its batch share them."""
    for name in sorted(delta.keys() & OF_THE_BATCH):
        yield name, delta[name]
    kwargs = delta.get("run_task_kwargs")
    if isinstance(kwargs, Mapping):
        for name in sorted(kwargs.keys() & PLACE_IN_KWARGS):
            yield f"run_task_kwargs.{name}", kwargs[name]


def number_of(delta: Mapping[str, Any], shard: int) -> int:
    """Return the number a shard is told: its place in its batch, or in the first one if it is tried again."""
    return int(delta.get(NUMBER, shard))


def shard_request(base: Mapping[str, Any], delta: Mapping[str, Any], shard: int) -> dict[str, Any]:
    """Return the full request of one shard: mappings such as parameters are merged, other fields replaced."""
    correlation = delta.get("correlation_id") or shard_correlation(str(base.get("correlation_id", "")), shard)
    own = {name: value for name, value in delta.items() if name != NUMBER}
    return {**overlay(base, own), "correlation_id": correlation}
