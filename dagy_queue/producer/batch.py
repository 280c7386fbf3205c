"""The handle of a batch: how far it is, its results, its end. ``fan_out`` returns it; any process makes one by id."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from celery.canvas import Signature
from celery.exceptions import ChordError

from dagy_queue.errors import BatchNotFound, Problem, RequestInvalid, ResultExpired, ResultTimeout, RunNotFound
from dagy_queue.ids import shard_id
from dagy_queue.ledger import BatchRecord, Phase, RunEntry
from dagy_queue.messaging.shard_results import PAGE, ShardMeta, ShardResults, shard_metas
from dagy_queue.producer.publisher import Publisher, default_publisher
from dagy_queue.producer.run import RunHandle
from dagy_queue.producer.shards import ShardResult, every_shard, shard_results
from dagy_queue.producer.waiting import reading, wait_for

_WATCH_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is."""

    total: int
    by_phase: Mapping[Phase, int]
    is_counted: bool = True
    """False while the dispatcher still reads the batch's manifest: the total is not known then."""

    @property
    def done(self) -> int:
        """Shards that ended, well or not."""
        return sum(n for phase, n in self.by_phase.items() if phase.status.is_final)

    @property
    def failed(self) -> int:
        """Shards that ended FAILED."""
        return self.by_phase.get(Phase.FAILED, 0)

    @property
    def is_over(self) -> bool:
        """True once every shard ended. The callback may still be at work: ``BatchHandle.get`` waits for it."""
        return self.is_counted and self.done >= self.total


class BatchHandle:
    """A batch, known by its id; any process can make one."""

    def __init__(self, batch_id: str | uuid.UUID, publisher: Publisher | None = None) -> None:
        self.batch_id = checked_batch_id(batch_id)
        self._publisher = publisher or default_publisher()
        self.result = self._publisher.app.AsyncResult(callback_id(self.batch_id))
        """Celery's result of the callback (or of the list of results, where there is no callback)."""

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the callback and return its result; without a callback, the shards' results in order.

        ``timeout`` in seconds. Raises celery's ChordError if more shards failed than the batch tolerates,
        ResultTimeout, ResultExpired for one without a callback whose result is not kept any more, BatchNotFound,
        RedisUnavailable.
        """
        if not self._is_ready():
            self._check_to_come()
        try:
            result = wait_for(self.result, f"batch {self.batch_id}", timeout)
        except ResultTimeout as exc:
            if self.progress().is_over:
                raise ResultTimeout(
                    f"all shards of batch {self.batch_id} have ended, but its callback (task id {self.result.id}) has "
                    f"no result after {timeout:g} seconds: does a worker listen to its queue, and know the task? Or "
                    "has its result expired?"
                ) from exc
            raise
        if isinstance(result, ShardResults) and result.batch_id == self.batch_id:
            return [shard.as_result() for shard in self._metas(range(len(result)))]
        return result

    def results(self, first: int = 0, count: int | None = None) -> Iterator[ShardResult]:
        """Yield the shards in order, as they are now, read a page at a time; ``count`` of them from ``first`` on.

        Where Celery's result of one is gone, the ledger says how it ended, without what it returned.

        Raises IndexError for a ``first`` below 0, BatchNotFound, celery's ChordError if the batch's manifest cannot be
        run, RedisUnavailable.
        """
        _check_index(first)
        batch = self._runnable()
        last = batch.total if count is None else min(batch.total, first + count)
        return every_shard(self._publisher, batch, range(first, last))

    def as_completed(self, timeout: float | None = None) -> Iterator[ShardResult]:
        """Yield each shard when it has ended, in the order they do.

        Raises ResultTimeout after ``timeout`` seconds, celery's ChordError if the batch's manifest cannot be run.
        """
        batch, seen = self._runnable(), 0
        deadline = None if timeout is None else time.monotonic() + timeout
        while seen < batch.total or not batch.is_counted:
            ended = self._publisher.batches.ended_shards(self.batch_id, seen, PAGE)
            yield from shard_results(self._publisher, batch, ended)
            seen += len(ended)
            if not ended:
                if deadline is not None and time.monotonic() > deadline:
                    left = f"{batch.total - seen} of {batch.total} shards" if batch.is_counted else "all shards"
                    raise ResultTimeout(f"{left} did not end within {timeout:g} seconds")
                time.sleep(_WATCH_SECONDS)
                batch = self._runnable()

    def _runnable(self) -> BatchRecord:
        """Return the batch. Raises ChordError, as its end does, if its manifest cannot be run."""
        batch = self._publisher.batches.get(self.batch_id)
        if batch.refused:
            raise ChordError(batch.refused)
        return batch

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask for the batch to end: waiting shards are dropped, running containers are stopped.

        The wish is in the ledger when this returns. Shards that have ended stay as they are. Raises BatchNotFound.
        """
        self._publisher.batches.cancel(self.batch_id, reason)

    def progress(self) -> BatchProgress:
        """Return the counts by phase; costs the same for 10 shards and for 100,000. Raises BatchNotFound."""
        counts, is_counted = self._publisher.batches.progress(self.batch_id)
        return BatchProgress(sum(counts.values()), counts, is_counted)

    def watch(self) -> Iterator[BatchProgress]:
        """Yield the progress each time it changes, until all shards ended."""
        last: BatchProgress | None = None
        while last is None or not last.is_over:
            now = self.progress()
            if now != last:
                yield now
                last = now
            elif not now.is_over:
                time.sleep(_WATCH_SECONDS)

    def shard(self, index: int) -> RunHandle:
        """Return the handle of one shard, counted from 0. Raises IndexError for one that the batch cannot have."""
        _check_index(index)
        return _ShardHandle(self.batch_id, index, self._publisher)

    def retry_failed(self, *, callback: Signature | None = None, **policies: Any) -> BatchHandle:
        """Launch the shards that failed or were cancelled once more, as a batch of their own, and return its handle.

        They keep their correlation ids, and the numbers that they are told (``TASK_NUM``, ``{{ run.shard }}``).
        ``callback`` and policies are the new batch's, as for ``fan_out``. Raises BatchNotFound or RunNotFound if the
        ledger no longer has the batch or one of these shards, RequestInvalid if none failed, RedisUnavailable.
        """
        from dagy_queue.producer.again import shards_again

        batch = self._publisher.batches.get(self.batch_id)
        going_on, failed = 0, []
        for shard in every_shard(self._publisher, batch, range(batch.total)):
            going_on += shard.status is None and shard.is_kept
            failed += [shard.index] if shard.status and shard.status.ended_badly else []
        if not failed:
            left = f"; {going_on} have not ended yet" if going_on else ""
            allowed = f"a batch with shards that failed or were cancelled: none of its {batch.total} shards did{left}"
            raise RequestInvalid([Problem("batch_id", self.batch_id, allowed)], "retry")
        return shards_again(self._publisher, self.batch_id, failed, callback=callback, policies=policies)

    def _is_ready(self) -> bool:
        with reading(self.result):
            return bool(self.result.ready())

    def _check_to_come(self) -> None:
        """Raise BatchNotFound or ResultExpired for a batch that would be waited for without end."""
        batch = self._publisher.batches.get(self.batch_id)
        if batch.is_ended and not batch.callback and not self._is_ready():
            raise ResultExpired(
                f"batch {self.batch_id} is over, and its result is not in the result backend any more; "
                "`results()` yields what is kept of its shards"
            )

    def _metas(self, shards: range) -> Iterator[ShardMeta]:
        with reading(self.result):
            yield from shard_metas(self._publisher.app.backend, self.batch_id, shards.stop, shards.start)

    def __len__(self) -> int:
        """Return the number of shards; 0 while the dispatcher still reads the batch's manifest."""
        return self._publisher.batches.get(self.batch_id).total

    def __repr__(self) -> str:
        return f"BatchHandle({self.batch_id!r})"


class _ShardHandle(RunHandle):
    """The handle of a shard, which is not in the ledger before the dispatcher has entered it."""

    def __init__(self, batch_id: str, index: int, publisher: Publisher) -> None:
        super().__init__(shard_id(batch_id, index), publisher)
        self._batch_id, self._index = batch_id, index

    def _awaited(self, deadline: float | None) -> RunEntry:
        while True:
            try:
                return self.entry()
            except RunNotFound:
                if not self._is_to_come():
                    return self.entry()  # entered in between, or there is none
            if deadline is not None and time.monotonic() > deadline:
                raise ResultTimeout(f"shard {self._index} of batch {self._batch_id} is not entered yet")
            time.sleep(_WATCH_SECONDS)

    def _is_to_come(self) -> bool:
        """Whether the dispatcher still has to enter the shard. Raises RunNotFound if the batch has no such shard."""
        try:
            batch = self._publisher.batches.get(self._batch_id)
        except BatchNotFound:
            return False
        if batch.is_counted and self._index >= batch.total:
            why = batch.refused or f"it has {batch.total} shards"
            raise RunNotFound(f"batch {self._batch_id} has no shard {self._index}: {why}")
        return batch.expanded <= self._index


def callback_id(batch_id: str) -> str:
    """Return the Celery task id of a batch's callback."""
    return str(uuid.uuid5(uuid.UUID(batch_id), "callback"))


def checked_batch_id(batch_id: str | uuid.UUID) -> str:
    """Return a batch's id as we write it. Raises RequestInvalid if it cannot be one."""
    try:
        return str(uuid.UUID(str(batch_id)))
    except ValueError:
        raise RequestInvalid([Problem("batch_id", batch_id, "a UUID")]) from None


def _check_index(index: int) -> None:
    if index < 0:
        raise IndexError(f"shards are counted from 0; {index} given")
