"""Token buckets of the ECS API and of Fargate, on an injected clock. A limit that is None never refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket's size and the tokens it regains each second."""

    per_second: float
    burst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All the buckets of an account and region. None means unlimited, which is the default."""

    run_task_calls: Rate | None = None
    launches: Rate | None = None
    spot_launches: Rate | None = None
    task_writes: Rate | None = None
    task_reads: Rate | None = None
    definition_writes: Rate | None = None
    definition_reads: Rate | None = None
    tagging: Rate | None = None


AWS_DEFAULT_LIMITS = Limits(
    run_task_calls=Rate(20, 20),
    launches=Rate(20, 100),
    spot_launches=Rate(20, 100),
    task_writes=Rate(40, 100),
    task_reads=Rate(20, 100),
    definition_writes=Rate(1, 20),
    definition_reads=Rate(20, 50),
    tagging=Rate(10, 20),
)
"""What AWS documents for the larger regions."""

OPERATION_BUCKETS: dict[str, tuple[str, ...]] = {
    "RunTask": ("task_writes", "run_task_calls"),
    "StopTask": ("task_writes",),
    "DescribeTasks": ("task_reads",),
    "ListTasks": ("task_reads",),
    "RegisterTaskDefinition": ("definition_writes",),
    "DeregisterTaskDefinition": ("definition_writes",),
    "DescribeTaskDefinition": ("definition_reads",),
    "ListTaskDefinitions": ("definition_reads",),
    "ListTaskDefinitionFamilies": ("definition_reads",),
    "TagResource": ("tagging",),
    "UntagResource": ("tagging",),
    "ListTagsForResource": ("tagging",),
}
"""Which buckets a call of an operation takes from. Launches are taken by RunTask itself, by count."""


class TokenBucket:
    """One bucket: full at first, refilled continuously, never beyond its size."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._tokens = float(rate.burst)
        self._updated = clock()

    def available(self) -> float:
        """Return the tokens there are now."""
        now = self._clock()
        elapsed = max(0.0, now - self._updated)
        self._tokens = min(self._rate.burst, self._tokens + elapsed * self._rate.per_second)
        self._updated = now
        return self._tokens

    def take(self, count: float) -> None:
        """Remove tokens; call it only when they are available."""
        self._tokens -= count


class Meters:
    """Every configured bucket by name."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        self.refill()

    def refill(self) -> None:
        """Fill every bucket to the brim."""
        rates = {name: getattr(self._limits, name) for name in self._limits.__dataclass_fields__}
        self._buckets = {name: TokenBucket(rate, self._clock) for name, rate in rates.items() if rate is not None}

    def change(self, limits: Limits) -> None:
        """Put other limits in force, with full buckets."""
        self._limits = limits
        self.refill()

    def admit_call(self, operation: str) -> bool:
        """Take one token for a call from each bucket it needs, or none if any of them is empty."""
        return self._take(OPERATION_BUCKETS.get(operation, ()), 1)

    def admit_launches(self, count: int, *, spot: bool) -> bool:
        """Take tokens for new tasks of one capacity type, or none if there are not enough."""
        return self._take(("spot_launches" if spot else "launches",), count)

    def has_launches(self, count: int, *, spot: bool) -> bool:
        """Tell whether as many tasks of one capacity type may be launched now."""
        bucket = self._buckets.get("spot_launches" if spot else "launches")
        return bucket is None or _holds(bucket, count)

    def _take(self, names: tuple[str, ...], count: int) -> bool:
        buckets = [self._buckets[name] for name in names if name in self._buckets]
        if not all(_holds(bucket, count) for bucket in buckets):
            return False
        for bucket in buckets:
            bucket.take(count)
        return True


def _holds(bucket: TokenBucket, count: float) -> bool:
    return bucket.available() >= count - 1e-9
