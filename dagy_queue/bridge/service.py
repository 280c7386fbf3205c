"""The bridge process: several consumers and a recorder in threads, until SIGTERM.

``dagy-queue bridge`` calls :func:`run_bridge`.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

import structlog

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.bridge.consumer import Consumer
from dagy_queue.bridge.reconciler import Reconciler
from dagy_queue.bridge.recorder import start_recorder
from dagy_queue.ledger import RedisConnection, RunLedger
from dagy_queue.settings import Settings

log = structlog.get_logger(__name__)

_RECORDER_STOPS = 5.0
"""Seconds to wait for a write to DynamoDB that is under way; the next bridge does it again."""


class Bridge:
    """The consumers and the recorder of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aws = AwsClients(settings.aws)
        self._runs = RunLedger(RedisConnection(settings.redis))
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._recorder: threading.Thread | None = None
        self._reconciler: threading.Thread | None = None

    def start(self) -> None:
        """Find the queue and start the consumers. Raises an AwsError if there is no such queue."""
        url = self._queue_url()
        bridge, container = self._settings.bridge, self._settings.ecs.container_name
        for number in range(bridge.consumers):
            consumer = Consumer(self._aws.sqs, url, self._runs, bridge, container)
            thread = threading.Thread(target=consumer.run, args=(self._stopping,), name=f"bridge-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._recorder = start_recorder(self._settings, self._runs.connection, self._stopping)
        if self._settings.reconciler.enabled:
            self._reconciler = self._start_reconciler()
        log.info("bridge_started", queue_url=url, consumers=bridge.consumers)

    def stop(self) -> None:
        """Let every consumer finish the messages in hand. A long poll that is open ends by itself."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(self._settings.bridge.wait_seconds + 5)
        for thread in filter(None, (self._recorder, self._reconciler)):
            thread.join(_RECORDER_STOPS)

    def _start_reconciler(self) -> threading.Thread:
        reconciler = Reconciler(self._settings, self._aws, self._runs.connection)
        thread = threading.Thread(target=reconciler.run, args=(self._stopping,), name="reconciler", daemon=True)
        thread.start()
        return thread

    def _queue_url(self) -> str:
        if self._settings.bridge.queue_url:
            return self._settings.bridge.queue_url
        with mapped("sqs:GetQueueUrl"):
            return self._aws.sqs.get_queue_url(QueueName=self._settings.bridge.queue_name)["QueueUrl"]


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
