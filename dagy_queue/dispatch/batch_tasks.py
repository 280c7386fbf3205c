"""The dispatcher's Celery tasks of batches: ``dagy.fan_out``, ``dagy.end_batch`` and ``dagy.cancel_batch``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import structlog
from celery import Celery, Task
from celery.exceptions import Reject, Retry

from dagy_queue.dispatch import batch_end, expansion
from dagy_queue.dispatch.outages import MOST_WAITS, wait_after
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import AwsError, BatchNotFound, RedisUnavailable
from dagy_queue.messaging.names import CANCEL_BATCH_TASK, END_BATCH_TASK, FAN_OUT_TASK

log = structlog.get_logger(__name__)

T = TypeVar("T")

_RETRY_SECONDS, _MOST_RETRIES = 2, 100


def register_batches(app: Celery, services: Services) -> None:
    """Add the tasks to the app of a dispatcher."""

    @app.task(bind=True, shared=False, name=FAN_OUT_TASK, acks_late=True, typing=False, max_retries=MOST_WAITS)
    def fan_out(self: Task, batch_id: str) -> dict[str, Any]:
        """Enter a batch's shards in the ledger; see ``dispatch/expansion.py``."""

        def work() -> dict[str, Any]:
            services.batches.begin_work(batch_id)
            return _expand(services, self, batch_id)

        try:
            return services.patiently(work)
        except (RedisUnavailable, expansion.ExpansionMoved) as exc:
            raise Reject(exc, requeue=True) from exc

    @app.task(bind=True, shared=False, name=END_BATCH_TASK, acks_late=True, typing=False, max_retries=_MOST_RETRIES)
    def end_batch(self: Task, batch_id: str) -> dict[str, Any]:
        """Send a batch's callback; see ``dispatch/batch_end.py``."""
        try:
            return _or_again(services, self, lambda: batch_end.end_batch(services, batch_id))
        except (Reject, Retry, BatchNotFound):
            raise
        except Exception as exc:  # too often: nobody is to wait for this batch any more
            services.patiently(partial(batch_end.give_up, services, batch_id, exc))
            raise

    @app.task(bind=True, shared=False, name=CANCEL_BATCH_TASK, acks_late=True, typing=False, max_retries=_MOST_RETRIES)
    def cancel_batch(self: Task, batch_id: str) -> int:
        """Cancel a batch's shards; see ``dispatch/batch_end.py``."""
        return _or_again(services, self, lambda: batch_end.cancel_batch(services, batch_id))

    for task in (fan_out, end_batch, cancel_batch):
        task.send_events = not services.settings.monitor.events  # the bridge tells of the batch as a whole


def _expand(services: Services, task: Task, batch_id: str) -> dict[str, Any]:
    """Expand a batch: again where its manifest cannot be read for now; what cannot be expanded is refused."""
    try:
        return expansion.expand(services, batch_id, task.request.root_id or batch_id)
    except AwsError as exc:
        if cancelled := services.batches.get(batch_id).cancel_reason:  # nobody waits for its other shards
            why = f"it was cancelled ({cancelled}) while its manifest could not be read: {exc}"
            return expansion.refuse(services, batch_id, why)
        if task.request.retries < MOST_WAITS:
            raise task.retry(exc=exc, countdown=wait_after(task.request.retries)) from exc
        return expansion.refuse(services, batch_id, f"its manifest cannot be read: {exc}")
    except (RedisUnavailable, BatchNotFound, expansion.ExpansionMoved):
        raise
    except Exception as exc:
        log.exception("expansion_crashed", batch_id=batch_id)
        return expansion.refuse(services, batch_id, f"its shards cannot be entered: {exc!r}")


def _or_again(services: Services, task: Task, work: Callable[[], T]) -> T:
    """Do what a batch depends on: again when Redis is back, and some times more when it failed for another reason."""

    def with_our_errors() -> T:
        with services.redis.errors():  # those of the result backend as well
            return work()

    try:
        return services.patiently(with_our_errors)
    except RedisUnavailable as exc:
        raise Reject(exc, requeue=True) from exc
    except BatchNotFound:
        raise
    except batch_end.NotAllEntered as exc:  # however long its manifest is
        raise task.retry(exc=exc, countdown=_RETRY_SECONDS, max_retries=task.request.retries + 1) from exc
    except Exception as exc:
        raise task.retry(exc=exc, countdown=_RETRY_SECONDS) from exc
