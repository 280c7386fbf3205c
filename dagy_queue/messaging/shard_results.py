"""The results of a batch's shards in Celery's result backend: reading them in pages, and a reference to all of them.

The dispatcher ends a batch with them, handles read them, and a callback gets a :class:`ShardResults` where the results
together are too large for a message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from celery import current_app, states
from kombu.utils.json import register_type

from dagy_queue.ids import shard_id
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.outcomes.final_words import revoked

PAGE = 500
_TYPE = "dagy_queue.ShardResults"


@dataclass(frozen=True, slots=True)
class ShardMeta:
    """What the result backend has of one shard."""

    shard: int
    run_id: str
    state: str
    """Celery's state; PENDING where there is nothing."""
    value: Any = None
    """The result of a shard that succeeded."""
    error: str = ""
    outcome: Mapping[str, Any] | None = None
    size: int = 0
    """Bytes that it takes in the backend."""

    @property
    def is_over(self) -> bool:
        """Whether the shard has ended."""
        return self.state in states.READY_STATES

    def as_result(self) -> Any:
        """Return what a callback gets of it: the value, or of a shard that failed a dict that says so."""
        if self.state == states.SUCCESS:
            return self.value
        gone = "" if self.is_over else "its result is not in the result backend: it expired or was evicted"
        outcome = dict(self.outcome or Outcome(kind=Kind.LOST, summary=gone or self.error).to_dict())
        return {"failed": True, "shard": self.shard, "run_id": self.run_id, "outcome": outcome}


def shard_metas(backend: Any, batch_id: str, total: int, first: int = 0) -> Iterator[ShardMeta]:
    """Yield the shards of a batch from index ``first`` on, in order, read a page at a time."""
    for start in range(first, total, PAGE):
        shards = range(start, min(total, start + PAGE))
        yield from metas_of(backend, batch_id, shards)


def metas_of(backend: Any, batch_id: str, shards: Sequence[int]) -> list[ShardMeta]:
    """Return some shards of a batch, in one round trip."""
    run_ids = [shard_id(batch_id, shard) for shard in shards]
    texts = backend.client.mget([backend.get_key_for_task(run_id) for run_id in run_ids]) if run_ids else []
    return [_meta(*each) for each in zip(shards, run_ids, texts, strict=True)]


def _meta(shard: int, run_id: str, text: bytes | str | None) -> ShardMeta:
    if text is None:
        return ShardMeta(shard, run_id, states.PENDING)
    meta = json.loads(text)  # not kombu's: a result may look like one of its typed values
    state, result, size = meta.get("status", states.PENDING), meta.get("result"), len(text)
    if state == states.SUCCESS:
        return ShardMeta(shard, run_id, state, value=result, size=size)
    error, outcome = _error_of(result)
    if state == states.REVOKED:
        outcome = outcome or revoked(error)
    return ShardMeta(shard, run_id, state, error=error, outcome=outcome, size=size)


def _error_of(result: Any) -> tuple[str, Mapping[str, Any] | None]:
    """Read an exception as Celery's JSON backends keep it: RunFailed carries its outcome as its second argument."""
    if not isinstance(result, Mapping):
        return "", None
    said = result.get("exc_message")
    if isinstance(said, list | tuple) and said:
        return str(said[0]), said[1] if len(said) > 1 and isinstance(said[1], Mapping) else None
    return str(said or result.get("exc_type") or ""), None


class ShardResults(Sequence[Any]):
    """The results of a batch in the order of its shards, read from the result backend when they are asked for.

    Iterating reads them a page at a time. A shard that failed (in a batch that tolerates it) is a dict with
    ``failed``, ``shard``, ``run_id`` and ``outcome``.
    """

    def __init__(self, batch_id: str, total: int, backend: Any = None) -> None:
        self.batch_id = batch_id
        self._total = total
        self._given_backend = backend

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Any]:
        return (meta.as_result() for meta in shard_metas(self._backend, self.batch_id, self._total))

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            shards = range(self._total)[index]
            return [meta.as_result() for meta in metas_of(self._backend, self.batch_id, shards)]
        (meta,) = metas_of(self._backend, self.batch_id, [range(self._total)[index]])
        return meta.as_result()

    def __repr__(self) -> str:
        return f"ShardResults({self.batch_id!r}, {self._total})"

    @property
    def _backend(self) -> Any:
        return self._given_backend or current_app.backend


def _encoded(results: ShardResults) -> str:
    return json.dumps([results.batch_id, len(results)])


def _decoded(text: str) -> ShardResults:
    return ShardResults(*json.loads(text))


# A worker that has imported dagy_queue's producer or dispatcher can read the reference; kombu says so where one cannot.
register_type(ShardResults, _TYPE, _encoded, _decoded)
