"""Whether a bridge is well, and the small HTTP server that tells: ``/healthz`` as JSON, ``/metrics`` for Prometheus.

``bridge/service.py`` starts the server where ``bridge.health_port`` is set; unless asked otherwise, on loopback only.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST

from dagy_queue.bridge.metrics import BridgeMetrics
from dagy_queue.bridge.shared import Shared
from dagy_queue.errors import RedisUnavailable, SettingsInvalid
from dagy_queue.ledger import RedisConnection
from dagy_queue.settings import RedisSettings

log = structlog.get_logger(__name__)

_RECEIVE_MARGIN = 60.0
"""Seconds that may pass between two receives beyond a long poll, for a batch that takes long to apply."""
_REDIS_TIMEOUT = 1.0
_REQUEST_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Health:
    """What ``/healthz`` answers."""

    is_well: bool
    report: dict[str, Any]


class HealthCheck:
    """Looks at a bridge's threads, receives and Redis."""

    def __init__(
        self,
        threads: Sequence[threading.Thread],
        shared: Shared,
        redis: RedisSettings,
        wait_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._threads = threads
        self._metrics, self._troubles = shared.metrics, shared.troubles
        quick = min(_REDIS_TIMEOUT, redis.socket_timeout)
        self._redis = RedisConnection(redis.model_copy(update={"socket_timeout": quick}))
        self._longest_silence = wait_seconds + _RECEIVE_MARGIN
        self._now = now
        self._begun = now()

    def look(self) -> Health:
        """Return how the bridge is."""
        alive = sum(thread.is_alive() for thread in self._threads)
        last = self._metrics.last_receive
        receives = self._now() - (last or self._begun) <= self._longest_silence
        redis = self._redis_problem()
        is_well = alive == len(self._threads) and receives and not redis
        report = {
            "status": "ok" if is_well else "failing",
            "consumers": {"alive": alive, "wanted": len(self._threads)},
            "last_receive": _iso(last),
            "receiving": receives,
            "redis": redis or "ok",
            "failing_calls": self._troubles.failing,
        }
        return Health(is_well, report)

    def close(self) -> None:
        """Close the connection to Redis."""
        self._redis.close()

    def _redis_problem(self) -> str:
        try:
            with self._redis.errors():
                self._redis.client.ping()
        except RedisUnavailable as exc:
            return str(exc)
        return ""


class HealthServer:
    """Serves the check and the metrics until it is stopped."""

    def __init__(self, host: str, port: int, check: HealthCheck, metrics: BridgeMetrics) -> None:
        self._check = check
        try:
            self._server = _server(host, port, check, metrics)
        except OSError as exc:
            raise SettingsInvalid(
                f"/healthz cannot be served on {host}:{port} ({exc}); set DAGY_QUEUE__BRIDGE__HEALTH_PORT to a free "
                "port, and DAGY_QUEUE__BRIDGE__HEALTH_HOST to an address of this machine"
            ) from exc

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True).start()
        log.info("bridge_health_served", url=self.url)

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._check.close()


def _server(host: str, port: int, check: HealthCheck, metrics: BridgeMetrics) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        block_on_close = False

    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_TIMEOUT

        def do_GET(self) -> None:
            if self.path == "/healthz":
                health = check.look()
                status = HTTPStatus.OK if health.is_well else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, "application/json", json.dumps(health.report).encode())
            elif self.path == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, metrics.exposition())
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there are /healthz and /metrics\n")

        def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing: a load balancer asks every few seconds."""

    return Server((host, port), Handler)


def _iso(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
