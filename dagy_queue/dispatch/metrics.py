"""What a dispatcher counts, for Prometheus, and the small server that shows it where ``dispatch.metrics_port`` is set.

The pump and the launcher report here. Both are threads of the worker's main process, whatever pool its tasks run in, so
one registry has everything. What is the same for all dispatchers, such as the runs that wait, bridges show.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from dagy_queue.aws.refusals import is_about_credentials
from dagy_queue.errors import (
    AwsCapacity,
    AwsThrottled,
    AwsUnavailable,
    DagyQueueError,
    RedisUnavailable,
    SettingsInvalid,
)
from dagy_queue.settings import DispatchSettings

log = structlog.get_logger(__name__)

_CALL_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Refused(StrEnum):
    """Why a launch did not happen."""

    THROTTLED = "throttled"
    CAPACITY = "capacity"
    UNAVAILABLE = "unavailable"
    """AWS, or Redis, gave no answer: there may be a task all the same."""
    CREDENTIALS = "credentials"
    """AWS does not take this dispatcher's; the run waits for better ones."""
    INVALID = "invalid"
    """The request cannot be launched."""
    CRASHED = "crashed"
    """A defect of ours."""

    @classmethod
    def of(cls, error: Exception) -> Refused:
        """Return what an error means."""
        if isinstance(error, AwsThrottled):
            return cls.THROTTLED
        if isinstance(error, AwsCapacity):
            return cls.CAPACITY
        if isinstance(error, AwsUnavailable | RedisUnavailable):
            return cls.UNAVAILABLE
        if is_about_credentials(error):
            return cls.CREDENTIALS
        return cls.INVALID if isinstance(error, DagyQueueError) else cls.CRASHED


class DispatchMetrics:
    """The metrics of one dispatcher, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._granted = Counter(
            "dagy_dispatcher_granted", "Runs that this dispatcher was given to launch", registry=self.registry
        )
        self._launched = Counter("dagy_launches", "Runs that ECS has taken", registry=self.registry)
        self._refused = Counter(
            "dagy_launches_refused", "Launches that did not happen, by reason", ["reason"], registry=self.registry
        )
        for reason in Refused:
            self._refused.labels(reason.value)
        self._call = Histogram(
            "dagy_launch_seconds",
            "Seconds of a launch: finding its definition, and RunTask",
            buckets=_CALL_BUCKETS,
            registry=self.registry,
        )
        self._stops = Counter("dagy_stops", "StopTask calls", registry=self.registry)
        self._busy = Gauge("dagy_dispatcher_busy_threads", "Threads that launch at present", registry=self.registry)
        self._threads = Gauge("dagy_dispatcher_threads", "Threads that launch", registry=self.registry)

    def has_threads(self, count: int) -> None:
        """Note how many threads launch."""
        self._threads.set(count)

    def granted(self, runs: int) -> None:
        """Count runs that were given to this dispatcher."""
        self._granted.inc(runs)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a thread as busy."""
        with self._busy.track_inprogress():
            yield

    @contextmanager
    def launching(self) -> Iterator[None]:
        """Measure a launch, and count how it ended; what is raised goes on."""
        try:
            with self._call.time():
                yield
        except Exception as exc:
            self._refused.labels(Refused.of(exc).value).inc()
            raise
        self._launched.inc()

    def stopped(self) -> None:
        """Count a call of StopTask."""
        self._stops.inc()


class MetricsServer:
    """Serves the metrics of one dispatcher, until its worker stops it."""

    def __init__(self, settings: DispatchSettings, metrics: DispatchMetrics) -> None:
        """Open the port. Raises SettingsInvalid if that cannot be."""
        host, port = settings.metrics_host, settings.metrics_port
        try:
            self._server, self._thread = start_http_server(port or 0, host, registry=metrics.registry)
        except OSError as exc:
            raise SettingsInvalid(
                f"/metrics cannot be served on {host}:{port} ({exc}); set DAGY_QUEUE__DISPATCH__METRICS_PORT to a free "
                "port (0 takes any), and DAGY_QUEUE__DISPATCH__METRICS_HOST to an address of this machine"
            ) from exc
        self._host = host

    @property
    def url(self) -> str:
        """Where they are."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.server_port}/metrics"

    def start(self) -> None:
        """Say where they are: the port is open already."""
        log.info("metrics_served", url=self.url)

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
