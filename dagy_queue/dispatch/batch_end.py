"""The end of a batch: its callback with the results in order, or its failure, as a chord of Celery's would have it.

The last shard's ``finish``, or the end of an expansion without shards, sends a ``dagy.end_batch`` message in the same
step, so that the end is as durable as the batch. All messages of the callback, or of its error callbacks, are rendered
first and sent in the step that marks the end. ``dispatch/batch_tasks.py`` calls :func:`end_batch` and
:func:`cancel_batch`; both may be called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import structlog
from celery import states
from celery.canvas import Signature, chord, group, maybe_signature
from celery.exceptions import ChordError
from celery.utils.functional import maybe_list
from kombu.utils.json import loads

from dagy_queue.dispatch.services import Services
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ids import shard_id
from dagy_queue.ledger import BatchRecord, Phase
from dagy_queue.messaging.publication import following_of
from dagy_queue.messaging.shard_results import ShardMeta, ShardResults, shard_metas
from dagy_queue.messaging.states import revoked_results
from dagy_queue.outcomes.final_words import revoked

log = structlog.get_logger(__name__)

_NAMED = 3
_CANCELLED_AT_ONCE = 500


class NotAllEntered(Exception):
    """The batch is still being expanded: its later shards cannot be cancelled yet."""


def end_batch(services: Services, batch_id: str) -> dict[str, Any]:
    """Send a batch's callback, or fail it; return what was done. A batch that has ended is left alone."""
    batch = services.batches.get(batch_id)
    services.batches.begin_work(batch_id)
    counts = services.batches.counts(batch_id)
    cancelled = counts.get(Phase.CANCELLED, 0)
    failed = counts.get(Phase.FAILED, 0) + cancelled
    if not batch.is_ended:
        try:
            callback = _callback(services, batch)
        except ValueError as exc:  # a value of a type that kombu knows only in the application
            why = f"the shards have ended, but a dispatcher cannot read the callback: {exc}"
            _fail(services, batch, ChordError(why), None)
        else:
            _end(services, batch, callback, failed=failed, cancelled=cancelled)
    log.info("batch_ended", batch_id=batch_id, shards=batch.total, failed=failed)
    return {"batch_id": batch_id, "shards": batch.total, "failed": failed}


def give_up(services: Services, batch_id: str, error: Exception) -> None:
    """Fail a batch whose end failed too often, so that nobody waits for it any more."""
    batch = services.batches.get(batch_id)
    if batch.is_ended:
        return
    why = ChordError(f"the shards have ended, but the callback could not be sent: {error!r}")
    try:
        _fail(services, batch, why, _callback(services, batch))
    except RedisUnavailable:
        raise
    except Exception as exc:  # noqa: BLE001 - its error callbacks cannot be sent either
        log.warning("error_callbacks_not_sent", batch_id=batch_id, error=repr(exc))
        _fail(services, batch, why, None)


def cancel_batch(services: Services, batch_id: str) -> int:
    """Cancel every shard that has not ended; return how many there were. Raises NotAllEntered to be called again."""
    batch = services.batches.get(batch_id)
    services.batches.begin_work(batch_id)
    completion = {"outcome": revoked(batch.cancel_reason)}
    ids = iter([shard_id(batch_id, shard) for shard in range(batch.expanded)])
    cancelled = 0
    same_redis = not services.settings.redis.result_url
    result = revoked_results(services.app.backend, batch.cancel_reason, same_redis=same_redis)
    while part := list(islice(ids, _CANCELLED_AT_ONCE)):
        others = services.runs.drop_shards(part, batch.cancel_reason, completion, result)
        cancelled += len(part) - len(others)
        cancelled += services.runs.cancel_all(others, batch.cancel_reason, completion)
    log.info("batch_cancelled", batch_id=batch_id, shards=cancelled, reason=batch.cancel_reason)
    if not batch.is_entered:
        raise NotAllEntered(batch_id)
    services.batches.cancelled(batch_id)
    return cancelled


def _end(services: Services, batch: BatchRecord, callback: Signature | None, *, failed: int, cancelled: int) -> None:
    was_cancelled = bool(batch.cancel_reason and cancelled)  # unless all had ended before it took effect
    if batch.refused or was_cancelled or failed > batch.policy.tolerated(batch.total):
        why = batch.refused or _why(services, batch, failed - cancelled, cancelled)
        _fail(services, batch, ChordError(why), callback)
    else:
        _succeed(services, batch, callback)


def _succeed(services: Services, batch: BatchRecord, callback: Signature | None) -> None:
    if callback is None:
        backend = services.app.backend
        backend.store_result(batch.callback_id, ShardResults(batch.batch_id, batch.total), states.SUCCESS)
        services.batches.end(batch.batch_id)
    else:
        args = (_results(services, batch),)
        _send(
            services, batch, callback, args, task_id=batch.callback_id, parent_id=batch.batch_id, root_id=batch.root_id
        )


def _fail(services: Services, batch: BatchRecord, error: ChordError, callback: Signature | None) -> None:
    services.app.backend.store_result(batch.callback_id, error, states.FAILURE)
    if errbacks := _errbacks(callback):
        args = (batch.callback_id,)
        _send(services, batch, group(errbacks), args, parent_id=batch.callback_id, root_id=batch.callback_id)
    else:
        services.batches.end(batch.batch_id)


def _send(services: Services, batch: BatchRecord, signature: Signature, args: tuple[Any, ...], **options: Any) -> None:
    """Send what ends the batch, and mark its end, in one step."""
    messages = services.renderer.messages(signature, args, **options)
    services.batches.end(batch.batch_id, following_of(messages, services.renderer))


def _errbacks(callback: Signature | None) -> list[Signature]:
    """Return the error callbacks of a callback that is not called: of a chord, also those of its body."""
    found: list[Signature] = []
    while callback is not None:
        found += maybe_list(callback.options.get("link_error")) or []
        callback = maybe_signature(callback.kwargs.get("body")) if isinstance(callback, chord) else None
    return found


def _callback(services: Services, batch: BatchRecord) -> Signature | None:
    """Raises ValueError for one that cannot be read."""
    return maybe_signature(loads(batch.callback), app=services.app) if batch.callback else None


def _results(services: Services, batch: BatchRecord) -> Sequence[Any]:
    """Return the results by value, or a reference to them where they would make too large a message."""
    most, size, values = services.settings.dispatch.results_by_value, 0, []
    for meta in shard_metas(services.app.backend, batch.batch_id, batch.total):
        size += meta.size
        if size > most:
            return ShardResults(batch.batch_id, batch.total)
        values.append(meta.as_result())
    return values


def _why(services: Services, batch: BatchRecord, failed: int, cancelled: int) -> str:
    """Say how many shards ended badly, and name the first: those that failed by themselves, if there are any."""
    metas = shard_metas(services.app.backend, batch.batch_id, batch.total)
    states_to_name = {states.FAILURE} if failed else states.READY_STATES - {states.SUCCESS}
    first = list(islice((meta for meta in metas if meta.state in states_to_name), _NAMED))
    named = "; ".join(_line(meta) for meta in first)
    more = f"; and {(failed or cancelled) - len(first)} more" if (failed or cancelled) > len(first) else ""
    reason = f" ({batch.cancel_reason})" if batch.cancel_reason else ""
    return f"{_counted(failed, cancelled, batch.total)}{reason}: {named}{more}"


def _counted(failed: int, cancelled: int, total: int) -> str:
    if not failed:
        return f"{cancelled} of {total} shards were cancelled"
    return f"{failed} of {total} shards failed" + (f", {cancelled} were cancelled" if cancelled else "")


def _line(meta: ShardMeta) -> str:
    return f"shard {meta.shard} (run {meta.run_id}): {meta.error or meta.state}"
