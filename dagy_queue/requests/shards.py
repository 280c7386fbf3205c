"""A shard's request: its batch's request, overlaid with what differs; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagy_queue.ids import shard_correlation

_MERGED = ("parameters", "extra_env_vars", "metadata")


def shard_request(base: Mapping[str, Any], delta: Mapping[str, Any], shard: int) -> dict[str, Any]:
    """Return the full request of one shard: its parameters and environment are merged, other fields replaced."""
    merged = {name: {**base.get(name, {}), **delta[name]} for name in _MERGED if name in delta}
    correlation = delta.get("correlation_id") or shard_correlation(str(base.get("correlation_id", "")), shard)
    return {**base, **delta, **merged, "correlation_id": correlation}
