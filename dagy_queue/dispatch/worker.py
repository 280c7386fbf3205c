"""The dispatcher process: a Celery worker with our tasks, the pump as a bootstep, and the revoke command.

``dagy-queue dispatcher`` calls :func:`run_dispatcher`; ``celery -A dagy_queue.dispatch.worker worker`` is the same
without the health check.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.platforms import EX_FAILURE
from celery.utils.nodenames import host_format

from dagy_queue.aws.clients import AwsClients
from dagy_queue.dispatch import listeners, revoke
from dagy_queue.dispatch.batch_tasks import register_batches
from dagy_queue.dispatch.celery_settings import use_dispatcher_settings
from dagy_queue.dispatch.health import cluster_and_region, require_health
from dagy_queue.dispatch.launcher import Launcher
from dagy_queue.dispatch.metrics import DispatchMetrics, MetricsServer
from dagy_queue.dispatch.pump import Pump
from dagy_queue.dispatch.services import Services
from dagy_queue.dispatch.stopping import Stopping
from dagy_queue.dispatch.tasks import register_launch
from dagy_queue.ledger.watching import WatchLedger
from dagy_queue.messaging.app import make_app
from dagy_queue.messaging.names import FAN_OUT_QUEUE, LAUNCH_QUEUE
from dagy_queue.messaging.publication import enter_on_publish
from dagy_queue.records.models import bind_models
from dagy_queue.settings import Settings, settings

log = structlog.get_logger(__name__)


def make_dispatcher_app(config: Settings) -> Celery:
    """Return an app whose workers are dispatchers."""
    app = make_app(config)
    use_dispatcher_settings(app)
    services = Services.build(config, app)
    metrics = DispatchMetrics()
    launcher = Launcher(services, metrics)
    register_launch(app, services)
    register_batches(app, services)
    bind_models(config)
    enter_on_publish()
    revoke.install(services.runs)
    listeners.install(WatchLedger(services.redis))

    class PumpStep(bootsteps.StartStopStep):
        """Runs the pump for as long as the worker runs, and ends both in time."""

        def create(self, parent: Any) -> Any:
            pump = Pump(services, launcher, metrics)

            def take_no_more() -> None:
                services.patiently.end()
                pump.take_no_more()

            def hand_back() -> None:
                pump.hand_back()
                services.claims.let_go_of_all()
                hand_back_messages(parent)

            self.stopping = Stopping(config.dispatch.stop_seconds, take_no_more, hand_back)
            return pump

        def start(self, parent: Any) -> Any:
            self.stopping.start()
            services.claims.start()
            return super().start(parent)

        def close(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
            services.claims.stop()
            self.stopping.begin()

    class MetricsStep(bootsteps.StartStopStep):
        """Serves the metrics for as long as the worker runs, where a port is set."""

        def include_if(self, parent: Any) -> bool:  # noqa: ARG002 - Celery's signature
            return config.dispatch.metrics_port is not None

        def create(self, parent: Any) -> Any:  # noqa: ARG002 - Celery's signature
            return MetricsServer(config.dispatch, metrics)

    app.steps["worker"].update((PumpStep, MetricsStep))
    return app


@lru_cache(maxsize=1)
def default_dispatcher_app() -> Celery:
    """Return the dispatcher app of this process's settings."""
    return make_dispatcher_app(settings())


def run_dispatcher(config: Settings, *, concurrency: int | None = None, name: str = "", loglevel: str = "info") -> int:
    """Run a dispatcher until it is told to stop; return its exit code. Raises HealthCheckFailed if it could not work.

    The worker is made as ``celery worker`` makes it. ``worker_main`` would do, but it forgets the exit code.
    """
    if config.dispatch.check_health_on_startup:
        _, region = cluster_and_region(config)
        require_health(config, AwsClients(config.aws, max_connections=1).in_region(region))
    app = make_dispatcher_app(config)
    worker = app.Worker(
        hostname=host_format(f"{name or f'dispatcher-{os.getpid()}'}@%h"),
        pool_cls=app.conf.worker_pool,
        concurrency=concurrency or config.dispatch.concurrency,
        queues=[LAUNCH_QUEUE, FAN_OUT_QUEUE],
        loglevel=loglevel,
        task_events=True,
        # Revocations are kept in the ledger, so workers need not tell each other (and start a second sooner).
        without_mingle=True,
        without_gossip=True,
    )
    worker.start()
    return exit_code(worker.exitcode)


def exit_code(found: Any) -> int:
    """Return a process's exit code for what Celery's worker has: a text if it was told to end from afar."""
    if found is None:  # it was terminated, which leaves none
        return int(EX_FAILURE)
    return found if isinstance(found, int) else 0


def hand_back_messages(worker: Any) -> None:
    """Put the messages that a worker has not finished back to the front of their queues."""
    consumer = getattr(getattr(worker, "consumer", None), "task_consumer", None)
    if consumer is None or consumer.channel is None:
        return
    try:
        consumer.channel.qos.restore_unacked_once()
    except Exception as exc:  # noqa: BLE001 - the ledger knows them all: the reconciler sends them again
        log.warning("messages_not_handed_back", error=repr(exc))


def __getattr__(name: str) -> Any:
    """``app``: what ``celery -A dagy_queue.dispatch.worker`` looks for; made when asked for."""
    if name in ("app", "celery"):
        return default_dispatcher_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
