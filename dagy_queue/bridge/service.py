"""The bridge process: several consumers, and what works beside them, until SIGTERM.

``dagy-queue bridge`` calls :func:`run_bridge`.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from dagy_queue.aws.clients import AwsClients
from dagy_queue.bridge.applying import Applier
from dagy_queue.bridge.background import Background, Loop
from dagy_queue.bridge.consumer import Consumer
from dagy_queue.bridge.dead_letters import find_dead_letters, find_queue_url
from dagy_queue.bridge.event_queue import EventQueue
from dagy_queue.bridge.hand import Hand, keep_hidden
from dagy_queue.bridge.health import HealthCheck, HealthServer
from dagy_queue.bridge.ledger_metrics import LedgerMetrics
from dagy_queue.bridge.monitor import monitoring
from dagy_queue.bridge.quarantine import Quarantine, recorded_in
from dagy_queue.bridge.reconciler import Reconciler
from dagy_queue.bridge.recorder import recording
from dagy_queue.bridge.run_metrics import RunMetrics
from dagy_queue.bridge.shared import Shared
from dagy_queue.bridge.verdicts import Rules
from dagy_queue.ledger import RedisConnection, RunLedger
from dagy_queue.records.runs import find_run_of_any_org
from dagy_queue.settings import Settings

log = structlog.get_logger(__name__)

_RECORDER_STOPS = 5.0
"""Seconds to wait for a write to DynamoDB that is under way; the next bridge does it again."""
_MONITOR_STOPS = 3.0
"""Seconds to wait for its blocking read; what was not announced, another bridge announces."""
_RECONCILER_STOPS = 2.0
"""Seconds to wait for a call that is under way; another bridge looks again."""
_POLLS_END = 1.0
"""Seconds for receives that are under way to come back. A long poll that is still open then ends with the process."""
_GIVING_BACK = 2.0
_PAUSE = 0.01


class Bridge:
    """The consumers of one process, and what works beside them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aws = AwsClients(settings.aws, max_connections=settings.bridge.consumers + 8)
        self._runs = RunLedger(RedisConnection(settings.redis))
        self._shared = Shared.fresh()
        self._hands: list[Hand] = []
        self._consumers: list[threading.Thread] = []
        self._background: list[Background] = []

    def start(self) -> None:
        """Find the queue and start everything. Raises an AwsError if there is no such queue."""
        bridge = self._settings.bridge
        url = find_queue_url(self._aws.sqs, bridge)
        self._consumers = self._threads(url)
        self._shared.metrics.count_consumers(lambda: sum(thread.is_alive() for thread in self._consumers))
        self._background = self._services()
        for service in self._background:
            service.start()
        for thread in (threading.Thread(target=self._beat, name="heartbeat", daemon=True), *self._consumers):
            thread.start()
        log.info("bridge_started", queue_url=url, consumers=bridge.consumers)

    def stop(self) -> None:
        """Stop within the grace: what is in hand is finished, or else given back for others to receive at once."""
        deadline = time.monotonic() + self._settings.bridge.stop_grace
        self._shared.stop.asked.set()
        self._wait_for_polls()
        _wait_until(lambda: all(hand.is_empty for hand in self._hands), deadline - time.monotonic())
        unfinished = not all(hand.is_empty for hand in self._hands)
        self._shared.stop.over.set()
        if unfinished:
            self._give_back()
            self._wait_for_polls()
        for service in reversed(self._background):
            service.stop()

    def _services(self) -> list[Background]:
        """Return what works beside the consumers; all of it is stopped by ``self._shared.stop.asked``."""
        asked = self._shared.stop.asked
        record = recording(self._settings, self._runs.connection)
        services = [*self._health(), Loop("recorder", record, asked, stops_within=_RECORDER_STOPS)]
        monitor = monitoring(self._settings, self._runs.connection, RunMetrics(self._shared.metrics.registry))
        services.append(Loop("monitor", monitor, asked, stops_within=_MONITOR_STOPS))
        if self._settings.reconciler.enabled:
            reconciler = Reconciler(self._settings, self._aws, self._runs.connection)
            services.append(Loop("reconciler", reconciler.run, asked, stops_within=_RECONCILER_STOPS))
        return services

    def _health(self) -> list[Background]:
        bridge = self._settings.bridge
        if bridge.health_port is None:
            return []
        self._shared.metrics.registry.register(LedgerMetrics(self._settings, self._runs.connection))
        check = HealthCheck(self._consumers, self._shared, self._settings.redis, bridge.wait_seconds)
        return [HealthServer(bridge.health_host, bridge.health_port, check, self._shared.metrics)]

    def _threads(self, url: str) -> list[threading.Thread]:
        queue, quarantine = self._queue(url), self._quarantine(url)
        rules = Rules(
            max_receives=quarantine.max_receives(self._settings.bridge.max_receives),
            finished_ttl=self._settings.redis.finished_ttl,
            container_name=self._settings.ecs.container_name,
        )
        return [
            threading.Thread(target=self._consumer(queue, quarantine, rules).run, name=f"consumer-{n}", daemon=True)
            for n in range(self._settings.bridge.consumers)
        ]

    def _consumer(self, queue: EventQueue, quarantine: Quarantine, rules: Rules) -> Consumer:
        hand = Hand(queue, self._settings.bridge.visibility_timeout, self._shared.troubles)
        self._hands.append(hand)
        return Consumer(queue, hand, Applier(self._runs, hand, self._shared), quarantine, rules, self._shared)

    def _quarantine(self, url: str) -> Quarantine:
        return Quarantine(
            find=lambda: find_dead_letters(self._aws.sqs, url, self._settings.bridge),
            connect=self._queue,
            is_recorded=recorded_in(find_run_of_any_org),
            troubles=self._shared.troubles,
        )

    def _queue(self, url: str) -> EventQueue:
        bridge = self._settings.bridge
        return EventQueue(
            self._aws.sqs, url, wait_seconds=bridge.wait_seconds, visibility_timeout=bridge.visibility_timeout
        )

    def _beat(self) -> None:
        keep_hidden(self._hands, self._settings.bridge.visibility_timeout, self._shared.stop)

    def _give_back(self) -> None:
        """Give back what consumers that are stuck have in hand; SQS may be away too, so this does not wait for long."""

        def give_back() -> None:
            for hand in self._hands:
                hand.give_back()

        thread = threading.Thread(target=give_back, name="giving-back", daemon=True)
        thread.start()
        thread.join(_GIVING_BACK)

    def _wait_for_polls(self) -> None:
        """Wait for receives that are coming back, perhaps with what was just given back: their consumers end then."""
        _wait_until(lambda: not any(thread.is_alive() for thread in self._consumers), _POLLS_END)


def run_bridge(settings: Settings) -> None:
    """Run the bridge until SIGTERM or SIGINT."""
    stop = threading.Event()

    def on_signal(*_: Any) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    bridge = Bridge(settings)
    bridge.start()
    stop.wait()
    bridge.stop()
    log.info("bridge_stopped")


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(_PAUSE)
