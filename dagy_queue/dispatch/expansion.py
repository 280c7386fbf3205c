"""Expansion of a batch: its shards go straight into the ledger, parked, in chunks; a redelivery goes on where it was.

Called by the ``dagy.fan_out`` task. The shards are members of a Celery group with the batch's id. How the batch ends is
in ``dispatch/batch_end.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import structlog

from dagy_queue.dispatch import manifests
from dagy_queue.dispatch.parking import place_of
from dagy_queue.dispatch.services import Services
from dagy_queue.ids import shard_id
from dagy_queue.ledger import BatchRecord
from dagy_queue.messaging.names import LAUNCH_QUEUE, LAUNCH_TASK
from dagy_queue.messaging.render import shard_blanks
from dagy_queue.messaging.states import mark_all_parked
from dagy_queue.requests import read_request

log = structlog.get_logger(__name__)


class ExpansionMoved(Exception):
    """The ledger is at another shard than this expansion: another one is at work, or Redis lost its last moments."""


def expand(services: Services, batch_id: str, root_id: str) -> dict[str, Any]:
    """Enter the shards of a batch that are not entered yet, under the root task given; return what was done."""
    batch = services.batches.get(batch_id)
    try:
        if not batch.is_counted:
            batch = manifests.count(services, batch)
        if not batch.is_entered:
            _prepare(services, batch, root_id)
            _enter(services, batch)
    except manifests.ManifestRefused as exc:
        return refuse(services, batch_id, str(exc))
    services.batches.expanded(batch_id)
    log.info("batch_expanded", batch_id=batch_id, shards=batch.total)
    return {"batch_id": batch_id, "shards": batch.total}


def refuse(services: Services, batch_id: str, reason: str) -> dict[str, Any]:
    """Fail a batch whose manifest cannot be run; return what was done."""
    if services.batches.refuse(batch_id, reason):
        log.warning("manifest_refused", batch_id=batch_id, reason=reason)
    services.batches.expanded(batch_id)
    return {"batch_id": batch_id, "shards": services.batches.get(batch_id).total}


def _prepare(services: Services, batch: BatchRecord, root_id: str) -> None:
    request = read_request(batch.request)
    template = services.app.signature(LAUNCH_TASK, queue=LAUNCH_QUEUE, priority=request.priority)
    continuation = services.renderer.signature(
        template,
        blanks={**shard_blanks(), "parent_id": batch.batch_id, "root_id": root_id},
        group_id=batch.batch_id,
    )
    place = place_of(services, request, request.priority)
    services.batches.prepare(
        batch.batch_id,
        continuation,
        place,
        window=batch.policy.max_parallel,
        per_run=batch.policy.shards_per_run,
    )


def _enter(services: Services, batch: BatchRecord) -> None:
    chunk = services.settings.dispatch.expansion_chunk
    index = batch.expanded
    kept = services.batches.spec_chunks(batch.batch_id, index)
    for deltas in manifests.delta_chunks(services, batch) if batch.manifest else kept:
        remaining = iter(deltas)
        while part := list(islice(remaining, chunk)):
            index = _enter_chunk(services, batch.batch_id, index, part)


def _enter_chunk(services: Services, batch_id: str, first: int, deltas: Sequence[Mapping[str, Any]]) -> int:
    shards = [(shard_id(batch_id, first + offset), delta) for offset, delta in enumerate(deltas)]
    with services.redis.errors():
        # What there is stays: a redelivered expansion must not overwrite the result of a shard that has ended.
        mark_all_parked(services.app.backend, [run_id for run_id, _ in shards])
    entered = services.batches.enter_shards(batch_id, first, shards)
    if entered != first + len(deltas):
        raise ExpansionMoved(f"batch {batch_id} has {entered} shards, not {first + len(deltas)}")
    return entered
