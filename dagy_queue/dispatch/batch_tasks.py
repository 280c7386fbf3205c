"""The dispatcher's Celery tasks of batches: ``dagy.fan_out``, ``dagy.end_batch`` and ``dagy.cancel_batch``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from celery import Celery, Task
from celery.exceptions import Reject

from dagy_queue.dispatch import batch_end, expansion
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import AwsError, BatchNotFound, RedisUnavailable
from dagy_queue.messaging.names import CANCEL_BATCH_TASK, END_BATCH_TASK, FAN_OUT_TASK

T = TypeVar("T")

_RETRY_SECONDS, _MOST_RETRIES = 2, 100


def register_batches(app: Celery, services: Services) -> None:
    """Add the tasks to the app of a dispatcher."""

    @app.task(bind=True, name=FAN_OUT_TASK, acks_late=True, typing=False, max_retries=_MOST_RETRIES)
    def fan_out(self: Task, batch_id: str) -> dict[str, Any]:
        """Enter a batch's shards in the ledger; see ``dispatch/expansion.py``."""
        try:
            try:
                done = expansion.expand(services, batch_id, self.request.root_id or batch_id)
            except AwsError as exc:  # its manifest cannot be read, for now
                if self.request.retries < _MOST_RETRIES:
                    raise self.retry(exc=exc, countdown=_RETRY_SECONDS) from exc
                done = expansion.refuse(services, batch_id, f"its manifest cannot be read: {exc}")
            if not done["shards"]:
                batch_end.end_batch(services, batch_id)
        except (RedisUnavailable, expansion.ExpansionMoved) as exc:
            raise Reject(exc, requeue=True) from exc
        return done

    @app.task(bind=True, name=END_BATCH_TASK, acks_late=True, typing=False, max_retries=_MOST_RETRIES)
    def end_batch(self: Task, batch_id: str) -> dict[str, Any]:
        """Send a batch's callback; see ``dispatch/batch_end.py``."""
        return _persistently(self, lambda: batch_end.end_batch(services, batch_id))

    @app.task(bind=True, name=CANCEL_BATCH_TASK, acks_late=True, typing=False, max_retries=_MOST_RETRIES)
    def cancel_batch(self: Task, batch_id: str) -> int:
        """Cancel a batch's shards; see ``dispatch/batch_end.py``."""
        return _persistently(self, lambda: batch_end.cancel_batch(services, batch_id))


def _persistently(task: Task, work: Callable[[], T]) -> T:
    """Do what a batch depends on: again when Redis is back, and some times more when it failed for another reason."""
    try:
        return work()
    except RedisUnavailable as exc:
        raise Reject(exc, requeue=True) from exc
    except BatchNotFound:
        raise
    except batch_end.NotAllEntered as exc:  # however long its manifest is
        raise task.retry(exc=exc, countdown=_RETRY_SECONDS, max_retries=task.request.retries + 1) from exc
    except Exception as exc:
        raise task.retry(exc=exc, countdown=_RETRY_SECONDS) from exc
