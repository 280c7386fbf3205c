"""The Celery app of the product: its configuration, with the reason beside each setting that is not Celery's default.

Producers publish with it, dispatchers add their tasks to it, Flower reads it (``celery -A dagy_queue.messaging.app``).
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from celery import Celery

from dagy_queue.ledger.redis_urls import celery_url, sentinel_options, sentinel_tls
from dagy_queue.messaging.cancelling import RunControl
from dagy_queue.messaging.names import CANCEL_BATCH_TASK, END_BATCH_TASK, FAN_OUT_QUEUE, FAN_OUT_TASK, LAUNCH_QUEUE
from dagy_queue.settings import Settings, settings


def make_app(config: Settings, **control: Any) -> Celery:
    """Return a Celery app for these settings. It does not become Celery's current app: the application has its own.

    ``control`` are options of :class:`RunControl`.
    """
    app = Celery("dagy_queue", set_as_current=False, control=partial(RunControl, config.redis, **control))
    app.conf.update(celery_config(config))
    return app


@lru_cache(maxsize=1)
def default_app() -> Celery:
    """Return the app of this process's settings."""
    return make_app(settings())


def celery_config(config: Settings) -> dict[str, Any]:
    """Return the Celery configuration for these settings."""
    redis = config.redis
    result_url = redis.result_url or redis.url
    connection = {"socket_timeout": redis.socket_timeout, "socket_keepalive": True}
    return {
        "broker_url": celery_url(redis.url),
        "result_backend": celery_url(result_url),
        # TLS to a Redis behind Sentinel; other URLs say it themselves.
        "broker_use_ssl": dict(sentinel_tls(redis.url)) or False,
        "redis_backend_use_ssl": dict(sentinel_tls(result_url)),
        # Nothing but JSON is ever read: no pickle from a queue.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_default_queue": config.celery.default_queue,
        "task_routes": {
            **{task: {"queue": FAN_OUT_QUEUE} for task in (FAN_OUT_TASK, END_BATCH_TASK, CANCEL_BATCH_TASK)},
            "dagy.*": {"queue": LAUNCH_QUEUE},
        },
        # A worker that dies must not take its messages along (every pass is idempotent by the ledger).
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        # Above prefetch wait + one pass + the largest countdown: what is unacked longer is delivered again.
        "broker_transport_options": {
            **connection,
            **sentinel_options(redis, redis.url),
            "visibility_timeout": config.dispatch.visibility_timeout,
            "retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1.0},
        },
        "result_backend_transport_options": {
            **sentinel_options(redis, result_url),
            "retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1.0},
        },
        "redis_socket_timeout": redis.socket_timeout,
        "redis_socket_connect_timeout": redis.socket_timeout,
        # A connection to a socket of this machine does not take it.
        "redis_socket_keepalive": not result_url.startswith("unix://"),
        "redis_retry_on_timeout": True,
        # A worker waits for its broker for as long as it takes.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # The same for a Redis that is full or was made a replica: to kombu those are errors of a channel, and a worker
        # ends on them otherwise.
        "broker_channel_error_retry": True,
        # If these passed before the last shard ended, a chord's body would never run, silently.
        "result_expires": redis.result_expires,
        "result_chord_expires": redis.result_expires,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "enable_utc": True,
    }


def __getattr__(name: str) -> Any:
    """``app``: what ``celery -A dagy_queue.messaging.app`` looks for; made when asked for."""
    if name in ("app", "celery"):
        return default_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
