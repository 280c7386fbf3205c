"""A local ECS: the service's operations with their real rules, and tasks as processes of this machine."""

from __future__ import annotations

from dagy_queue.local.ecs.buckets import AWS_DEFAULT_LIMITS, Limits, Rate
from dagy_queue.local.ecs.config import LocalEcsConfig, PhaseDelays
from dagy_queue.local.ecs.faults import DroppedAnswer
from dagy_queue.local.ecs.service import LocalEcs

__all__ = [
    "AWS_DEFAULT_LIMITS",
    "DroppedAnswer",
    "Limits",
    "LocalEcs",
    "LocalEcsConfig",
    "PhaseDelays",
    "Rate",
]
