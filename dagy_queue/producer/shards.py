"""The shards of a batch as they are now: by Celery's results, and where one is missing, by what the ledger says.

``BatchHandle`` reads them. A shard's result may be gone while the ledger still has its batch: each expires by itself
(``redis.result_expires``), and they may be in a Redis of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagy_queue.ledger import BatchRecord, RunStatus
from dagy_queue.ledger.overview import Overview, RunPhase
from dagy_queue.messaging.shard_results import PAGE, ShardMeta, metas_of
from dagy_queue.producer.ends import STATUS_OF_STATE
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.waiting import reading


@dataclass(frozen=True, slots=True)
class ShardResult:
    """One shard of a batch: where it is, and its result or its error."""

    index: int
    run_id: str
    status: RunStatus | None
    """SUCCEEDED, FAILED or CANCELLED; None while it goes on, and, where it is not kept, if nobody knows it any more."""
    value: Any = None
    error: str = ""
    outcome: Mapping[str, Any] | None = None
    is_kept: bool = True
    """False where it has ended, and what it returned is not kept any more: then ``value`` is None in any case."""


def shard_results(publisher: Publisher, batch: BatchRecord, shards: Sequence[int]) -> list[ShardResult]:
    """Return some shards of a batch, in the order asked, in up to four round trips."""
    metas = {meta.shard: meta for meta in _metas(publisher, batch, shards)}
    phases = _phases(publisher, [meta for meta in metas.values() if not meta.is_over])
    ended = [shard for shard, run in phases.items() if _has_ended(batch, shard, run)]
    if ended:  # some, it may be, since their results were asked for
        metas |= {meta.shard: meta for meta in _metas(publisher, batch, ended)}
    gone = {shard: phases[shard] for shard in ended if not metas[shard].is_over}
    all_well = bool(gone) and not any(phase.status.ended_badly for phase in publisher.batches.counts(batch.batch_id))
    return [
        _of_ledger(metas[shard], gone[shard], all_well=all_well) if shard in gone else _of_celery(metas[shard])
        for shard in shards
    ]


def every_shard(publisher: Publisher, batch: BatchRecord, shards: range) -> Iterator[ShardResult]:
    """Yield shards in their order, read a page at a time."""
    for first in range(shards.start, shards.stop, PAGE):
        yield from shard_results(publisher, batch, range(first, min(first + PAGE, shards.stop)))


def _metas(publisher: Publisher, batch: BatchRecord, shards: Sequence[int]) -> list[ShardMeta]:
    with reading(publisher.app.AsyncResult(batch.callback_id)):
        return metas_of(publisher.app.backend, batch.batch_id, shards)


def _phases(publisher: Publisher, metas: Sequence[ShardMeta]) -> dict[int, RunPhase]:
    found = Overview(publisher.redis).phases([meta.run_id for meta in metas], with_outcomes=True)
    return {meta.shard: run for meta, run in zip(metas, found, strict=True)}


def _has_ended(batch: BatchRecord, shard: int, run: RunPhase) -> bool:
    """Tell whether a shard is over: it is by its phase, or it was entered and is forgotten."""
    return run.phase.status.is_final if run.phase else shard < batch.expanded


def _of_celery(meta: ShardMeta) -> ShardResult:
    status = STATUS_OF_STATE.get(meta.state)
    return ShardResult(meta.shard, meta.run_id, status, meta.value, meta.error, meta.outcome)


def _of_ledger(meta: ShardMeta, run: RunPhase, *, all_well: bool) -> ShardResult:
    """Return how a shard ended that Celery has no result of; one that is forgotten succeeded if all of them did."""
    status = run.phase.status if run.phase else RunStatus.SUCCEEDED if all_well else None
    outcome = run.outcome if status and status.ended_badly else {}
    error = str(outcome.get("summary") or "")
    return ShardResult(meta.shard, meta.run_id, status, None, error, outcome or None, is_kept=False)
