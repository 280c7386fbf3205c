"""Ids of the caller's own, whose run or batch the ledger has forgotten while Celery keeps its result: refused.

The ledger launches an id once for as long as it knows it. After that, a run of the same id would be handed the result
of the earlier one, since Celery never writes over a success. Launching and fanning out ask before they publish.
"""

from __future__ import annotations

from dagy_queue.errors import BatchNotFound, Problem, RequestInvalid, RunNotFound
from dagy_queue.producer.batch import callback_id
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.waiting import reading

_ALLOWED = "a new id: it was used before, and its result is still kept (redis.result_expires)"


def check_run_id(publisher: Publisher, run_id: str) -> None:
    """Raise RequestInvalid for the id of a task that is over and in no ledger any more, or RedisUnavailable."""
    if not _has_result(publisher, run_id):
        return
    try:
        publisher.runs.get(run_id)
    except RunNotFound:
        raise RequestInvalid([Problem("run_id", run_id, _ALLOWED)]) from None


def check_batch_id(publisher: Publisher, batch_id: str) -> None:
    """Raise RequestInvalid for the id of a batch that is over and in no ledger any more, or RedisUnavailable.

    Its callback may leave no result; the fan-out itself does, under the batch's own id.
    """
    if not any(_has_result(publisher, task_id) for task_id in (callback_id(batch_id), batch_id)):
        return
    try:
        publisher.batches.get(batch_id)
    except BatchNotFound:
        raise RequestInvalid([Problem("batch_id", batch_id, _ALLOWED)], "fan-out") from None


def _has_result(publisher: Publisher, task_id: str) -> bool:
    result = publisher.app.AsyncResult(task_id)
    with reading(result):
        return bool(result.ready())
