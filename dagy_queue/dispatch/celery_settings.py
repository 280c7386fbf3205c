"""What a dispatcher's Celery does otherwise than a producer's: it waits where a producer is told at once.

``dispatch/worker.py`` puts it over ``messaging/app.py``. A producer that finds Redis away raises; a dispatcher that
does has a run in hand that must not be lost, nor be called a failure.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from redis.exceptions import ResponseError

_POOL = "dagy_queue.dispatch.pool:PassPool"
_CONSUMER = "dagy_queue.dispatch.consumer:PassConsumer"
_BACKENDS = "dagy_queue.dispatch.result_backend"
_RESPONSE_ERROR = f"{ResponseError.__module__}.{ResponseError.__qualname__}"
_LONGEST_PAUSE = 2.0


def use_dispatcher_settings(app: Celery) -> None:
    """Put the settings into an app that has no backend yet."""
    app.conf.update(dispatcher_settings(app.conf))


def dispatcher_settings(conf: Any) -> dict[str, Any]:
    """Return what differs, for the configuration of a producer's app."""
    return {
        # Threads: passes wait for Redis and S3; to a process group's SIGTERM, prefork lost messages.
        "worker_pool": _POOL,
        # A connection that is lost with messages in hand ends Celery's own.
        "worker_consumer": _CONSUMER,
        "result_backend": patient(conf["result_backend"]),
        # While the result backend is away a pass waits with its result. Without this Celery gives up within a second,
        # fails to store that as well, and the message is neither acknowledged nor rejected.
        "result_backend_always_retry": True,
        "result_backend_base_sleep_between_retries_ms": 100,
        "result_backend_max_sleep_between_retries_ms": int(_LONGEST_PAUSE * 1000),
        # A Redis that is full, read-only or cannot write its AOF answers with an error: it is waited for, too.
        "result_backend_transport_options": {
            **conf["result_backend_transport_options"],
            "additional_connection_errors": (_RESPONSE_ERROR,),
        },
        # The body of a chord is published by the last pass of its header: with the usual three tries within a second, a
        # Redis that restarts would make it a failure. About five minutes; Celery knows no "for ever" here.
        "task_publish_retry_policy": {
            "max_retries": 150,
            "interval_start": 0.1,
            "interval_step": 0.2,
            "interval_max": _LONGEST_PAUSE,
            "retry_errors": (ResponseError,),
        },
    }


def patient(result_url: str) -> str:
    """Return the URL of a result backend, led by the class that Celery shall use for it."""
    name = "PatientSentinelBackend" if result_url.startswith("sentinel://") else "PatientRedisBackend"
    return f"{_BACKENDS}:{name}+{result_url.removeprefix('redis+')}"
