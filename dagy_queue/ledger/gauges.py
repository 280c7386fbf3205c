"""The ledger's face for metrics: what waits and what runs at this moment, by cluster and org, and the rates that hold.

The bridge's metrics endpoint asks (``bridge/ledger_metrics.py``). One script, which costs time by the number of orgs
and clusters, not of runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagy_queue.ledger.connection import RedisConnection

_STEPS_SEPARATOR = "\x06\x16"
"""What kombu's Redis transport puts between a queue's name and a priority."""
_STEPS = (3, 6, 9)


@dataclass(frozen=True, slots=True)
class Held:
    """Runs of an org that wait for their launch in a cluster, on one type of capacity."""

    cluster: str
    capacity: str
    org: str
    runs: int


@dataclass(frozen=True, slots=True)
class InFlight:
    """Tasks of an org in a cluster, from their submission to their end, and their CPU units."""

    cluster: str
    org: str
    tasks: int
    cpu: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gauges:
    """What waits and what runs."""

    held: Sequence[Held]
    in_flight: Sequence[InFlight]
    in_windows: int
    """Shards that wait in their batches' own queues, for ``max_parallel``."""
    delayed: int
    """Runs that wait for a delay: before a retry, or after a launch that was refused."""
    submitting: int
    """Runs that a dispatcher is launching."""
    factors: Mapping[str, float]
    """By region: which part of the configured rates holds, after throttles."""


class GaugeLedger:
    """Reads the gauges."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection

    def read(self, clusters: Sequence[str]) -> Gauges:
        """Return the gauges of clusters (``<region>/<cluster>``) and of those that runs wait for."""
        held, flying, in_windows, delayed, submitting, factors = self.connection.run("gauges", *clusters)
        return Gauges(
            held=[_held(*each) for each in held],
            in_flight=[
                InFlight(cluster, org, max(0, int(tasks)), max(0, int(cpu)))
                for cluster, org, tasks, cpu in flying
                if org
            ],
            in_windows=int(in_windows),
            delayed=int(delayed),
            submitting=int(submitting),
            factors={region: float(factor) for region, factor in factors},
        )

    def queue_depths(self, queues: Sequence[str]) -> dict[str, int]:
        """Return how many messages wait in queues of the broker, of all priorities."""
        names = [
            (queue, f"{queue}{_STEPS_SEPARATOR}{step}" if step else queue) for queue in queues for step in (0, *_STEPS)
        ]
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=False)
            for _, key in names:
                pipeline.llen(key)
            found: list[Any] = pipeline.execute()
        depths = dict.fromkeys(queues, 0)
        for (queue, _), length in zip(names, found, strict=True):
            depths[queue] += int(length)
        return depths


def _held(pool: str, org: str, runs: int) -> Held:
    cluster, _, capacity = pool.partition("|")
    return Held(cluster, capacity, org, int(runs))
