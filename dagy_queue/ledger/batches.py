"""The ledger's face for batches: publishing a fan-out, expanding it in chunks, counting its shards by phase."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dagy_queue.errors import BatchNotFound, RunNotFound
from dagy_queue.ids import shard_id
from dagy_queue.ledger.connection import RedisConnection
from dagy_queue.ledger.phases import Phase
from dagy_queue.ledger.publications import NOTHING, Continuation, Following
from dagy_queue.ledger.runs import Place, reason_text
from dagy_queue.requests.deltas import SPEC_CHUNK, ShardSpec, encode
from dagy_queue.requests.policies import BatchPolicy
from dagy_queue.requests.sources import Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRecord:
    """What was asked of a batch and how far its expansion is."""

    batch_id: str
    total: int
    """Shards; 0 until a manifest is counted."""
    is_counted: bool
    expanded: int
    correlation_id: str
    callback_id: str
    request: Mapping[str, Any]
    callback: str
    """The callback's signature as kombu writes it; '' where the results are only collected."""
    policy: BatchPolicy
    root_id: str
    cancel_reason: str
    created_at: datetime
    manifest: Manifest | None
    """Where its shards are, if not in the ledger."""
    manifest_tag: str
    """The version of the manifest that was counted."""
    refused: str
    """Why the manifest cannot be run; '' if it can."""
    is_ended: bool
    """Whether its callback was sent, or failed."""

    @property
    def is_entered(self) -> bool:
        """Whether all its shards are in the ledger."""
        return self.is_counted and self.expanded >= self.total


class BatchLedger:
    """Batches in the ledger."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection

    def publish(
        self,
        batch_id: str,
        message: Continuation,
        *,
        deltas: Sequence[Mapping[str, Any]] | ShardSpec | Manifest,
        fields: Mapping[str, str],
    ) -> bool:
        """Enter a batch, its shards' deltas and its message, and send the message: one transaction.

        Among the fields are the messages that end (``ender``) and cancel it (``canceller``), sent to its own queue.

        Of a manifest only the address is entered; :meth:`counted` says later how many shards it has.

        Returns False if the ledger has the batch already.
        """
        chunks: tuple[str, ...] = ()
        if isinstance(deltas, Manifest):
            extra = {"manifest": deltas.to_json()}
        else:
            spec = deltas if isinstance(deltas, ShardSpec) else ShardSpec.of(deltas)
            chunks, extra = spec.chunks, {"total": str(spec.total)}
        flat = [part for pair in {**fields, **extra}.items() for part in pair]
        flat += ["fan_out_queue", message.list_key]
        args = (batch_id, message.list_key, message.message, len(chunks), *chunks, *flat)
        return bool(self.connection.run("publish_batch", *args))

    def counted(self, batch_id: str, total: int, *, tolerated: int, tag: str) -> bool:
        """Say how many shards a manifest has, and in which version of it; False if that was known already."""
        return bool(self.connection.run("count_batch", batch_id, total, tolerated, tag))

    def refuse(self, batch_id: str, reason: str) -> bool:
        """Fail a batch whose manifest cannot be run: what is entered of it is cancelled, and no more is.

        False if all its shards are entered already.
        """
        return bool(self.connection.run("refuse_batch", batch_id, reason))

    def cancel(self, batch_id: str, reason: str) -> str:
        """Have a batch cancelled. Returns ``cancelled``, ``already`` or ``over``. Raises BatchNotFound."""
        found = str(self.connection.run("cancel_batch", batch_id, reason_text(reason)))
        if found == "unknown":
            raise _not_found(batch_id)
        return found

    def end(self, batch_id: str, following: Following = NOTHING) -> bool:
        """Mark a batch as ended, and send what follows, in one step; False if it was ended before: nothing is sent."""
        ttl = self.connection.settings.longest_ttl
        return bool(self.connection.run("end_batch", batch_id, ttl, *following.arguments()))

    def ended_shards(self, batch_id: str, first: int, most: int) -> list[int]:
        """Return the shards that have ended, in the order they did, from the ``first`` of them on."""
        with self.connection.errors():
            found = self.connection.client.lrange(self._key(batch_id, "done"), first, first + most - 1)
        return [int(shard) for shard in found]

    def deltas(self, batch_id: str, shards: Sequence[int]) -> list[dict[str, Any]]:
        """Return what some shards differ in. Raises RunNotFound if the ledger no longer has one of them."""
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=False)
            for shard in shards:
                pipeline.hmget(self.connection.key("run", shard_id(batch_id, shard)), ("phase", "delta"))
            found = pipeline.execute()
        gone = [shard for shard, (phase, _) in zip(shards, found, strict=True) if phase is None]
        if gone:
            others = f" and {len(gone) - 1} more of its shards" if len(gone) > 1 else ""
            raise RunNotFound(
                f"the ledger has forgotten what shard {gone[0]} of batch {batch_id}{others} had to do: launch that anew"
            )
        return [json.loads(delta) if delta else {} for _, delta in found]

    def prepare(
        self, batch_id: str, template: Continuation, place: Place, *, window: int | None = None, per_run: int = 1
    ) -> None:
        """Store what all shards share: the template of their continuation and their place in the queue.

        At most ``window`` of them wait for their launch or run at once; ``per_run`` of them share a container.
        """
        fields = {
            "template": template.message,
            "queue": template.list_key,
            "pool": place.pool,
            "org": place.org,
            "priority": str(place.priority),
            **{name: value for name, value in place.shares().items() if value},
            **({"window": str(window)} if window else {}),
            **({"per_run": str(per_run)} if per_run > 1 else {}),
        }
        with self.connection.errors():
            self.connection.client.hset(self._key(batch_id), mapping=fields)  # type: ignore[arg-type]

    def spec_chunks(self, batch_id: str, first: int) -> Iterator[list[dict[str, Any]]]:
        """Yield the deltas of the shards from index ``first`` on, a chunk at a time."""
        position = first // SPEC_CHUNK
        while True:
            with self.connection.errors():
                text = self.connection.client.lindex(self._key(batch_id, "spec"), position)
            if text is None:
                return
            chunk = json.loads(text)
            yield chunk[first % SPEC_CHUNK :] if position == first // SPEC_CHUNK else chunk
            position += 1

    def enter_shards(self, batch_id: str, first: int, shards: Sequence[tuple[str, Mapping[str, Any]]]) -> int:
        """Enter a chunk of shards as (run id, delta); returns how many shards of the batch are entered by now."""
        flat = [part for run_id, delta in shards for part in (run_id, encode(delta) if delta else "")]
        return int(self.connection.run("expand", batch_id, first, *flat))

    def expanded(self, batch_id: str) -> None:
        """Drop what only the expansion needed. The end of a batch without shards is sent in the same step."""
        self.connection.run("expanded", batch_id)

    def begin_work(self, batch_id: str) -> None:
        """Note that a task of the batch is at work, so that its message counts as lost only after some time."""
        with self.connection.errors():
            if not self.connection.client.exists(self._key(batch_id)):
                return
            seconds, micros = self.connection.client.time()
            self.connection.client.hset(self._key(batch_id), "at_work", int(seconds * 1000 + micros // 1000))

    def cancelled(self, batch_id: str) -> None:
        """Note that all shards of a cancelled batch were told."""
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=True)
            pipeline.hdel(self._key(batch_id), "at_work")
            pipeline.zrem(self.connection.key("cancelling"), batch_id)
            pipeline.execute()

    def get(self, batch_id: str) -> BatchRecord:
        """Return a batch. Raises BatchNotFound."""
        with self.connection.errors():
            fields: dict[str, str] = self.connection.client.hgetall(self._key(batch_id))  # type: ignore[assignment]
        if "request" not in fields:
            raise _not_found(batch_id)
        return BatchRecord(
            batch_id=batch_id,
            total=int(fields.get("total", 0)),
            is_counted="total" in fields,
            expanded=int(fields.get("expanded", 0)),
            correlation_id=fields["correlation"],
            callback_id=fields["callback_id"],
            request=json.loads(fields["request"]),
            callback=fields.get("callback", ""),
            policy=BatchPolicy(**json.loads(fields.get("policy") or "{}")),
            root_id=fields.get("root") or batch_id,
            cancel_reason=fields.get("cancel", ""),
            created_at=datetime.fromtimestamp(int(fields["created"]) / 1000, UTC),
            manifest=Manifest.from_json(fields["manifest"]) if "manifest" in fields else None,
            manifest_tag=fields.get("manifest_tag", ""),
            refused=fields.get("refused", ""),
            is_ended="ended" in fields,
        )

    def counts(self, batch_id: str) -> dict[Phase, int]:
        """Return how many shards are in each phase; those not expanded yet count as QUEUED. O(1)."""
        return self.progress(batch_id)[0]

    def progress(self, batch_id: str) -> tuple[dict[Phase, int], bool]:
        """Return the counts by phase, and whether they are of all shards: a manifest may not be counted yet. O(1)."""
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=True)
            pipeline.hmget(self._key(batch_id), ("total", "created"))
            pipeline.hgetall(self._key(batch_id, "counts"))
            (total, created), counts = pipeline.execute()
        if created is None:
            raise _not_found(batch_id)
        by_phase = {Phase(name): int(n) for name, n in counts.items() if int(n)}
        if waiting := int(total or 0) - sum(by_phase.values()):
            by_phase[Phase.QUEUED] = waiting
        return by_phase, total is not None

    def _key(self, batch_id: str, *parts: str) -> str:
        return ":".join((self.connection.key("batch", batch_id), *parts))


def _not_found(batch_id: str) -> BatchNotFound:
    return BatchNotFound(f"batch {batch_id!r} is not in the ledger of this Redis")
