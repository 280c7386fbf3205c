"""What waits and what runs, read from the ledger whenever Prometheus asks; each bridge shows the same.

Labels are bounded: of the orgs, those with the most runs have a label of their own, all others together are "other".
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.gauges import GaugeLedger, Gauges
from dagy_queue.ledger.sweeps import SweepLedger
from dagy_queue.messaging.names import FAN_OUT_QUEUE, LAUNCH_QUEUE
from dagy_queue.settings import Settings

OTHER = "other"
_CLUSTERS_KNOWN_FOR = 900.0
"""Seconds after which the clusters are looked for again: that walks over all keys."""
_UNITS_PER_VCPU = 1024


class LedgerMetrics(Collector):
    """The gauges, for a registry."""

    def __init__(
        self, settings: Settings, connection: RedisConnection, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._gauges = GaugeLedger(connection)
        self._sweeps = SweepLedger(connection)
        self._now = now
        self._clusters = {f"{settings.aws.region}/{settings.ecs.cluster.rpartition('/')[2]}"}
        self._look_again_at = 0.0

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is depends on the ledger, which is not asked before somebody scrapes."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; without Redis only that it is away."""
        up = GaugeMetricFamily("dagy_ledger_up", "1 if the ledger could be read for this answer")
        try:
            gauges = self._read()
            depths = self._gauges.queue_depths((LAUNCH_QUEUE, FAN_OUT_QUEUE))
        except RedisUnavailable:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield _family("dagy_queue_depth", "Messages in a queue of the broker", ["queue"], _single(depths))
        yield from self._of_runs(gauges)
        yield from self._of_rates(gauges)

    def _read(self) -> Gauges:
        if self._now() >= self._look_again_at:
            self._look_again_at = self._now() + _CLUSTERS_KNOWN_FOR
            self._clusters.update(self._sweeps.clusters())
        gauges = self._gauges.read(sorted(self._clusters))
        self._clusters.update(held.cluster for held in gauges.held)
        return gauges

    def _of_runs(self, gauges: Gauges) -> Iterator[Metric]:
        name = self._labels_of_orgs(gauges)
        held, tasks, cpu = Counter[tuple[str, ...]](), Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        for each in gauges.held:
            held[each.cluster, each.capacity, name(each.org)] += each.runs
        for flying in gauges.in_flight:
            tasks[flying.cluster, name(flying.org)] += flying.tasks
            cpu[flying.cluster, name(flying.org)] += flying.cpu
        vcpus: dict[tuple[str, ...], float] = {labels: units / _UNITS_PER_VCPU for labels, units in cpu.items()}
        yield _family("dagy_held_runs", "Runs that wait for their launch", ["cluster", "capacity", "org"], held)
        yield _family("dagy_in_flight_tasks", "Tasks from submission to end", ["cluster", "org"], tasks)
        yield _family("dagy_in_flight_vcpus", "vCPUs of these tasks", ["cluster", "org"], vcpus)
        waits = {"max_parallel": gauges.in_windows, "delay": gauges.delayed, "submission": gauges.submitting}
        yield _family("dagy_waiting_runs", "Runs that wait for something else", ["reason"], _single(waits))

    def _of_rates(self, gauges: Gauges) -> Iterator[Metric]:
        limits = self._settings.limits
        rates: dict[tuple[str, ...], float] = {}
        for region, factor in gauges.factors.items():
            for limit, rate in (("run_task", limits.run_task_rate), ("launch", limits.launch_rate)):
                if rate is not None:
                    rates[region, limit] = rate * factor
        yield _family("dagy_rate_limit", "Calls a second that are allowed now", ["region", "limit"], rates)
        yield _family(
            "dagy_rate_factor", "Part of the set rates that throttles leave", ["region"], _single(gauges.factors)
        )

    def _labels_of_orgs(self, gauges: Gauges) -> Callable[[str], str]:
        runs = Counter[str]()
        for each in gauges.held:
            runs[each.org] += each.runs
        for flying in gauges.in_flight:
            runs[flying.org] += flying.tasks
        largest = sorted(runs, key=lambda org: (-runs[org], org))[: self._settings.monitor.most_orgs]
        named = frozenset(largest)
        return lambda org: org if org in named else OTHER


def _single(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(label,): value for label, value in values.items()}


def _family(name: str, what: str, labels: list[str], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=labels)
    for each, value in sorted(values.items()):
        family.add_metric(list(each), value)
    return family
