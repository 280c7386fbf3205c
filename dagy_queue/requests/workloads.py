"""The six workload profiles of Dagy's guide: a name for a task size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """A task size: CPU units and MiB."""

    cpu: int
    memory: int


WORKLOADS = {
    "small": Workload(256, 512),
    "medium": Workload(1024, 2048),
    "large": Workload(2048, 4096),
    "xlarge": Workload(4096, 8192),
    "heavy": Workload(8192, 16384),
    "max": Workload(16384, 32768),
}
"""By name, from the smallest to the largest."""
