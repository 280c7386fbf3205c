from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import ChordError

from dagy_queue.aws import objects
from dagy_queue.dispatch import batch_end, expansion, manifests
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import AwsUnavailable
from dagy_queue.ids import AttemptId, new_id, shard_id
from dagy_queue.ledger import Phase, RedisConnection, RunStatus
from dagy_queue.messaging.states import mark_all_parked, parked_state
from dagy_queue.requests.policies import BatchPolicy
from dagy_queue.requests.sources import Manifest, manifest
from tests.unit.dispatch.manifest_kit import KEY, publish, rows, sent
from tests.unit.s3_kit import FakeS3

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

DONE = {"outcome": {"kind": "succeeded", "summary": "ok"}}


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3({KEY: rows(1200)})


@pytest.fixture
def reading(services: Services, s3: FakeS3) -> Services:
    """Services whose S3 has the manifest."""
    return replace(services, aws=SimpleNamespace(s3=s3))  # type: ignore[arg-type]


def expand(services: Services, batch_id: str) -> dict[str, Any]:
    return expansion.expand(services, batch_id, batch_id)


def stopping_after(chunks: int, change: Callable[[], None] | None = None) -> Callable[..., int]:
    """Enter some chunks, then let something happen; without that, stop as a killed dispatcher does."""
    enter, left = expansion._enter_chunk, [chunks]

    def entering(*args: Any) -> int:
        if not left[0]:
            if change is None:
                raise KeyboardInterrupt
            change()
        left[0] -= 1
        return enter(*args)

    return entering


def end_all(services: Services) -> int:
    """Launch and end every shard that is entered; return how many there were."""
    ended = 0
    while grants := services.admission.lease(100, 60).grants:
        for grant in grants:
            services.runs.complete(grant.attempt_id, DONE)
            services.runs.finish(grant.attempt_id, RunStatus.SUCCEEDED)
        ended += len(grants)
        services.redis.client.delete("none", *services.redis.client.scan_iter("dagy:bucket:*"))
    return ended


def test_a_batch_knows_its_total_once_its_manifest_is_read(reading: Services) -> None:
    batch_id = publish(reading, tolerate="10%")
    assert reading.batches.progress(batch_id) == ({}, False)
    assert not reading.batches.get(batch_id).is_entered
    assert expand(reading, batch_id)["shards"] == 1200
    assert reading.batches.progress(batch_id) == ({Phase.HELD: 1200}, True)
    assert reading.redis.client.hget(f"dagy:batch:{batch_id}", "tolerated") == "120"
    assert reading.batches.deltas(batch_id, [0, 1199]) == [{"parameters": {"n": 0}}, {"parameters": {"n": 1199}}]


def test_a_batch_does_not_end_before_its_manifest_is_entered(
    reading: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = publish(reading)
    monkeypatch.setattr(expansion, "_enter_chunk", stopping_after(1))
    with pytest.raises(KeyboardInterrupt):
        expand(reading, batch_id)
    assert end_all(reading) == 500
    assert sent(reading) == []
    monkeypatch.undo()
    expand(reading, batch_id)
    assert end_all(reading) == 700
    assert sent(reading) == ["end"]


def test_a_redelivered_expansion_reads_on_where_it_was(
    reading: Services, s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = publish(reading)
    monkeypatch.setattr(expansion, "_enter_chunk", stopping_after(1))
    with pytest.raises(KeyboardInterrupt):
        expand(reading, batch_id)
    monkeypatch.undo()
    s3.reads.clear()
    assert expand(reading, batch_id)["shards"] == 1200
    assert len(s3.reads) == 1  # it was counted before
    assert reading.batches.progress(batch_id) == ({Phase.HELD: 1200}, True)
    assert reading.batches.deltas(batch_id, [500, 999]) == [{"parameters": {"n": 500}}, {"parameters": {"n": 999}}]


def test_a_manifest_that_is_changed_while_it_is_read_fails_its_batch(
    reading: Services, s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PART", 4096)
    monkeypatch.setattr(manifests, "_BUFFER", 4096)
    batch_id = publish(reading, tolerate="100%")
    change = lambda: s3.objects.update({KEY: rows(1201)})  # noqa: E731
    monkeypatch.setattr(expansion, "_enter_chunk", stopping_after(0, change))
    entered = expand(reading, batch_id)["shards"]
    assert 0 < entered < 1200
    assert "was changed while it was read" in reading.batches.get(batch_id).cancel_reason
    assert sent(reading) == ["cancel"]
    assert batch_end.cancel_batch(reading, batch_id) == entered
    for shard in range(entered):
        reading.runs.finish(AttemptId(shard_id(batch_id, shard), 1), RunStatus.CANCELLED)
    assert sent(reading) == ["cancel", "end"]
    batch_end.end_batch(reading, batch_id)
    error = reading.app.AsyncResult(reading.batches.get(batch_id).callback_id).result
    assert isinstance(error, ChordError)
    assert "was changed" in str(error)


def test_a_batch_whose_shards_have_ended_ends_when_its_manifest_is_refused(
    reading: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = publish(reading)
    monkeypatch.setattr(expansion, "_enter_chunk", stopping_after(1))
    with pytest.raises(KeyboardInterrupt):
        expand(reading, batch_id)
    assert end_all(reading) == 500
    assert reading.batches.refuse(batch_id, "no more")
    assert sent(reading) == ["cancel", "end"]
    assert reading.batches.enter_shards(batch_id, 500, [(shard_id(batch_id, 500), {})]) == 500
    assert len(reading.batches.counts(batch_id)) == 1


def test_a_batch_whose_shards_are_all_entered_is_not_refused(reading: Services) -> None:
    batch_id = publish(reading)
    expand(reading, batch_id)
    assert not reading.batches.refuse(batch_id, "too late")
    assert reading.batches.get(batch_id).refused == ""


def test_bad_lines_are_named_and_nothing_is_entered(reading: Services, s3: FakeS3) -> None:
    s3.objects[KEY] = rows(700) + b'oops\n{"n": "{{ run.nothing }}"}\n'
    batch_id = publish(reading)
    assert expand(reading, batch_id)["shards"] == 0
    refused = reading.batches.get(batch_id).refused
    assert f"s3://bucket/{KEY}[line 701]" in refused
    assert f"s3://bucket/{KEY}[line 702].n" in refused
    assert reading.redis.client.keys("dagy:run:*") == []


def test_a_batch_that_was_refused_stays_so(reading: Services, s3: FakeS3) -> None:
    del s3.objects[KEY]
    batch_id = publish(reading)
    expand(reading, batch_id)
    s3.objects[KEY] = rows(3)
    assert expand(reading, batch_id)["shards"] == 0
    assert "NoSuchKey" in reading.batches.get(batch_id).refused


@pytest.mark.parametrize("limits", [(3, None), (None, 3)])
def test_the_limit_of_the_cluster_is_the_callers_and_the_dispatchers(
    reading: Services, limits: tuple[int | None, int | None]
) -> None:
    own, dispatchers = limits
    ecs = reading.settings.ecs.model_copy(update={"max_task_count": dispatchers})
    limited = replace(reading, settings=reading.settings.model_copy(update={"ecs": ecs}))
    batch_id = publish(limited, most=own)
    assert expand(limited, batch_id)["shards"] == 0
    assert "at most 3 shards" in limited.batches.get(batch_id).refused


def test_an_s3_that_does_not_answer_is_no_refusal(reading: Services, s3: FakeS3) -> None:
    s3.broken_reads = 3
    batch_id = publish(reading)
    with pytest.raises(AwsUnavailable):
        expand(reading, batch_id)
    assert expand(reading, batch_id)["shards"] == 1200


class _LongS3:
    """An S3 with a manifest that is made as it is read."""

    LINE = 24

    def __init__(self, count: int) -> None:
        self.size = count * self.LINE

    def get_object(self, *, Range: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        first, last = map(int, Range.removeprefix("bytes=").split("-"))
        last = min(last + 1, self.size)
        start, stop = first // self.LINE, -(-last // self.LINE)
        text = b"".join(b'{"n": "%014d"}\n' % n for n in range(start, stop))
        part = text[first - start * self.LINE : last - start * self.LINE]
        return {"Body": io.BytesIO(part), "ETag": "tag", "ContentRange": f"bytes {first}-{last}/{self.size}"}


class _CountingLedger:
    """A ledger that keeps nothing but numbers."""

    def __init__(self, source: Manifest) -> None:
        self.batch = SimpleNamespace(
            batch_id=new_id(),
            total=0,
            expanded=0,
            is_counted=False,
            is_entered=False,
            manifest=source,
            manifest_tag="",
            request={"kind": "flow", "org_id": "acme", "flow_name": "f"},
            policy=BatchPolicy(),
        )

    def get(self, _: str) -> Any:
        return self.batch

    def counted(self, _: str, total: int, **__: Any) -> None:
        self.batch.total, self.batch.is_counted = total, True

    def enter_shards(self, _: str, first: int, shards: list[Any]) -> int:
        assert shards[-1][1] == {"parameters": {"n": f"{first + len(shards) - 1:014d}"}}
        self.batch.expanded = first + len(shards)
        return self.batch.expanded

    def spec_chunks(self, *_: Any) -> Any:
        return iter(())

    def expanded(self, _: str) -> None: ...


def _peak_of_expanding(services: Services, count: int) -> int:
    ledger = _CountingLedger(manifest("s3://bucket/long.jsonl"))
    fake = replace(services, aws=SimpleNamespace(s3=_LongS3(count)), batches=ledger)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        assert expand(fake, ledger.batch.batch_id)["shards"] == count == ledger.batch.expanded
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_length_of_a_manifest(
    services: Services, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PART", 64 * 1024)
    monkeypatch.setattr(expansion, "_prepare", lambda *_: None)
    monkeypatch.setattr(expansion, "mark_all_parked", lambda *_: None)
    monkeypatch.setattr(expansion, "shard_id", lambda _, index: str(index))
    _peak_of_expanding(services, 2_000)  # what is made once
    short, long = (_peak_of_expanding(services, count) for count in (8_000, 80_000))
    assert long < 1.2 * short


def test_a_shard_that_has_its_result_keeps_it_when_its_expansion_comes_again(services: Services) -> None:
    backend, (ended, waiting) = services.app.backend, (new_id(), new_id())
    backend.client.set(backend.get_key_for_task(ended), "its result")
    mark_all_parked(backend, [ended, waiting])
    assert backend.client.get(backend.get_key_for_task(ended)) == b"its result"
    state = parked_state(backend, waiting)
    assert backend.client.get(state.key).decode() == state.value
    assert 0 < backend.client.ttl(state.key) <= state.seconds
