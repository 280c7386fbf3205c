"""What a bridge counts, for Prometheus. The consumers and their helpers report here; the health server shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from dagy_queue.bridge.event_queue import Received

_LAG_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400)


KINDS = ("applied", "resumed", "stale", "unknown", "quarantined", "left")
"""What may become of a message."""


class BridgeMetrics:
    """The metrics of one bridge, in a registry of their own."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.registry = CollectorRegistry()
        self.last_receive = 0.0
        """When a receive last worked, in seconds since 1970; 0 if none has."""
        self._messages = Counter(
            "dagy_bridge_messages", "Messages by what became of them", ["kind"], registry=self.registry
        )
        for kind in KINDS:
            self._messages.labels(kind)  # at 0, so that an alert sees the first one as an increase
        self._failures = Counter("dagy_bridge_failures", "Calls that failed", ["call"], registry=self.registry)
        self._lag = Histogram(
            "dagy_bridge_lag_seconds",
            "Seconds from an event's time to its being applied",
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )
        self._oldest = Gauge(
            "dagy_bridge_oldest_message_seconds",
            "Seconds that the oldest message of the last receive had been in the queue",
            registry=self.registry,
        )
        self._last_receive = Gauge(
            "dagy_bridge_last_receive_timestamp_seconds", "Time of the last successful receive", registry=self.registry
        )
        self._consumers = Gauge("dagy_bridge_consumers", "Consumers that are alive", registry=self.registry)

    def received(self, messages: Iterable[Received]) -> None:
        """Note a receive that worked."""
        self.last_receive = now = self._now()
        self._last_receive.set(now)
        ages = [now - message.sent_at for message in messages if message.sent_at]
        self._oldest.set(max(0.0, *ages) if ages else 0.0)

    def done(self, kind: str, emitted_at: float | None = None) -> None:
        """Count a message, with the time of its event where it was applied."""
        self._messages.labels(kind).inc()
        if emitted_at is not None:
            self._lag.observe(max(0.0, self._now() - emitted_at))

    def failed(self, call: str) -> None:
        """Count a call that failed."""
        self._failures.labels(call).inc()

    def count_consumers(self, alive: Callable[[], int]) -> None:
        """Have the consumers counted whenever somebody looks."""
        self._consumers.set_function(alive)

    def exposition(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self.registry)
