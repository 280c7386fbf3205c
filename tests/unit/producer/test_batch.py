from __future__ import annotations

import json
import math
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import chain, states
from celery.canvas import Signature
from celery.exceptions import ChordError
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import BatchNotFound, RedisUnavailable, RequestInvalid, ResultTimeout, RunNotFound
from dagy_queue.ids import shard_id
from dagy_queue.ledger import Continuation, Phase, RedisConnection
from dagy_queue.ledger.runs import Place
from dagy_queue.messaging.names import FAN_OUT_QUEUE, FAN_OUT_TASK
from dagy_queue.producer import batch as batch_module
from dagy_queue.producer import bulk, kept
from dagy_queue.producer.batch import BatchHandle, BatchProgress, callback_id
from dagy_queue.producer.fan_out import fan_out
from dagy_queue.producer.publisher import Publisher
from dagy_queue.requests import LaunchRequest
from dagy_queue.settings import load_settings
from tests.unit.messaging.conftest import raw
from tests.unit.producer.conftest import on
from tests.unit.strategies import unhurried

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}
BATCH_ID = "0b0e8a3e-3a1c-4a63-9a1c-0d6a4b1f3c55"


def nothing_was_sent(connection: RedisConnection) -> bool:
    return list(connection.client.scan_iter("*")) == []


def test_a_batch_is_one_message_whatever_its_size(publisher: Publisher, connection: RedisConnection) -> None:
    handle = fan_out(**FLOW, shards=({"n": n} for n in range(2000)), launcher=on(publisher))
    headers = raw(connection, FAN_OUT_QUEUE)["headers"]
    assert (headers["task"], headers["id"]) == (FAN_OUT_TASK, handle.batch_id)
    assert len(handle) == 2000


def test_the_ledger_knows_what_each_shard_is_about(publisher: Publisher) -> None:
    shards: list[dict[str, Any]] = [{"n": n} if n % 3 else {} for n in range(1234)]
    handle = fan_out(**FLOW, shards=shards, launcher=on(publisher))
    kept = [delta for chunk in publisher.batches.spec_chunks(handle.batch_id, 0) for delta in chunk]
    assert [delta.get("parameters", {}) for delta in kept] == shards


def test_the_ledger_knows_what_all_shards_share(publisher: Publisher) -> None:
    handle = fan_out(LaunchRequest(**FLOW, correlation_id="trace"), [{}], launcher=on(publisher))
    record = publisher.batches.get(handle.batch_id)
    assert record.request == {"kind": "flow", **FLOW, "correlation_id": "trace"}
    assert (record.correlation_id, record.callback_id) == ("trace", callback_id(handle.batch_id))


@pytest.mark.parametrize("batch_id", [uuid.UUID(BATCH_ID), BATCH_ID.upper(), f"urn:uuid:{BATCH_ID}"])
def test_a_uuid_is_a_batch_id_however_it_is_written(publisher: Publisher, batch_id: Any) -> None:
    for _ in range(2):
        assert fan_out(**FLOW, shards=[{}], batch_id=batch_id, launcher=on(publisher)).batch_id == BATCH_ID
    assert BatchHandle(batch_id, publisher).result.id == callback_id(BATCH_ID)


@pytest.mark.parametrize("batch_id", [5, b"x", "x", ""])
def test_what_is_no_uuid_is_no_batch_id(publisher: Publisher, batch_id: Any) -> None:
    with pytest.raises(RequestInvalid, match=r"batch_id = .*: a UUID"):
        fan_out(**FLOW, shards=[{}], batch_id=batch_id, launcher=on(publisher))


def test_the_id_of_another_orgs_batch_is_refused(publisher: Publisher) -> None:
    fan_out(**FLOW, shards=[{}], batch_id=BATCH_ID, launcher=on(publisher))
    with pytest.raises(RequestInvalid, match=r"batch_id = .*: an id that no other batch has"):
        fan_out(**{**FLOW, "org_id": "other"}, shards=[{}], batch_id=BATCH_ID, launcher=on(publisher))


@pytest.mark.parametrize(
    ("limit", "why"), [("MOST_OF_ONE", "in those that are kept together"), ("MOST_OF_A_BATCH", "in all")]
)
def test_shards_that_are_too_large_for_redis_are_refused(
    publisher: Publisher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch, limit: str, why: str
) -> None:
    monkeypatch.setattr(bulk, limit, 1024**2)
    with pytest.raises(RequestInvalid, match=f"shards = '2 MiB': at most 1 MiB {why}"):
        fan_out(**FLOW, shards=[{"n": "x" * 2 * 1024**2}], launcher=on(publisher))
    assert nothing_was_sent(connection)


def test_without_a_correlation_id_the_batchs_own_is_taken(publisher: Publisher) -> None:
    handle = fan_out(**FLOW, shards=[{}], launcher=on(publisher))
    assert publisher.batches.get(handle.batch_id).correlation_id == handle.batch_id


def test_max_fail_count_is_the_retries_of_each_shard(publisher: Publisher) -> None:
    handle = fan_out(**FLOW, shards=[{}], max_fail_count=3, max_retries=None, launcher=on(publisher))
    assert publisher.batches.get(handle.batch_id).request["max_retries"] == 3


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (None, {**FLOW, "max_retries": 0}),
        (LaunchRequest(**FLOW), {"max_retries": 0}),
        (LaunchRequest(**FLOW, max_retries=0), {}),
        (LaunchRequest(**FLOW, max_retries=0), {"max_retries": None}),
    ],
)
def test_max_fail_count_and_max_retries_together_are_refused(
    publisher: Publisher, connection: RedisConnection, request_: LaunchRequest | None, fields: dict[str, Any]
) -> None:
    with pytest.raises(RequestInvalid) as caught:
        fan_out(request_, [{}], max_fail_count=2, launcher=on(publisher), **fields)
    assert [str(problem) for problem in caught.value.problems] == [
        "max_fail_count = 2: max_fail_count or max_retries (here 0), not both: they mean the same, so leave one out"
    ]
    assert nothing_was_sent(connection)


def test_without_a_callback_there_is_none_to_send(publisher: Publisher) -> None:
    handle = fan_out(**FLOW, shards=[{}], launcher=on(publisher))
    assert publisher.batches.get(handle.batch_id).callback == ""


def test_a_callback_is_kept_with_the_id_of_the_batchs_result(publisher: Publisher) -> None:
    callback = Signature("app.total", kwargs={"unit": "EUR"}, options={"queue": "app"})
    handle = fan_out(**FLOW, shards=[{}], callback=callback, launcher=on(publisher))
    batch = publisher.batches.get(handle.batch_id)
    kept = json.loads(batch.callback)
    assert (kept["task"], kept["kwargs"], kept["options"]["queue"]) == ("app.total", {"unit": "EUR"}, "app")
    assert batch.callback_id == handle.result.id == callback_id(handle.batch_id)


def test_the_callers_callback_is_left_as_it_is(publisher: Publisher) -> None:
    callback = Signature("app.total")
    fan_out(**FLOW, shards=[{}], callback=callback, launcher=on(publisher))
    assert callback.options == {}


def test_a_callback_may_be_a_chain(publisher: Publisher) -> None:
    callback = chain(publisher.app.signature("app.total"), publisher.app.signature("app.note"), app=publisher.app)
    handle = fan_out(**FLOW, shards=[{}], callback=callback, launcher=on(publisher))
    kept = Signature.from_dict(json.loads(publisher.batches.get(handle.batch_id).callback), app=publisher.app)
    assert [task.task for task in kept.tasks] == ["app.total", "app.note"]


@pytest.mark.parametrize("argument", [datetime(2026, 1, 1, tzinfo=UTC), uuid.UUID(BATCH_ID)])
def test_a_callback_may_have_any_argument_that_celery_can_send(publisher: Publisher, argument: object) -> None:
    fan_out(**FLOW, shards=[{}], callback=Signature("app.total", args=(argument,)), launcher=on(publisher))


def test_the_same_batch_id_fans_out_once(publisher: Publisher, connection: RedisConnection) -> None:
    for shards in ([{"n": 1}], [{"n": 1}, {"n": 2}]):
        handle = fan_out(**FLOW, shards=shards, batch_id=BATCH_ID, launcher=on(publisher))
    assert len(handle) == 1
    assert connection.client.llen(FAN_OUT_QUEUE) == 1


def test_a_batch_id_may_be_written_in_any_way_a_uuid_may(publisher: Publisher) -> None:
    assert fan_out(**FLOW, shards=[{}], batch_id=BATCH_ID.upper(), launcher=on(publisher)).batch_id == BATCH_ID


def test_a_batch_id_that_is_no_uuid_is_refused(publisher: Publisher) -> None:
    with pytest.raises(RequestInvalid) as caught:
        fan_out(**FLOW, shards=[{}], batch_id="mine", launcher=on(publisher))
    assert [problem.field for problem in caught.value.problems] == ["batch_id"]


def test_a_batch_id_may_be_a_uuid_of_pythons(publisher: Publisher) -> None:
    batch_id = uuid.uuid4()
    batch = fan_out(**FLOW, shards=[{}], batch_id=batch_id, launcher=on(publisher))  # type: ignore[arg-type]
    assert batch.batch_id == BatchHandle(batch_id, publisher).batch_id == str(batch_id)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shards", "fields"),
    [
        ([{"a": 1}, {"a": math.nan}], ["shards[1].a"]),
        ([{"a": {1}}, 5, {1: 2}], ["shards[0].a", "shards[1]", "shards[2] key"]),
        (["text"], ["shards[0]"]),
    ],
)
def test_every_shard_that_cannot_work_is_named(
    publisher: Publisher, connection: RedisConnection, shards: list[Any], fields: list[str]
) -> None:
    with pytest.raises(RequestInvalid) as caught:
        fan_out(**FLOW, shards=shards, launcher=on(publisher))
    assert [problem.field for problem in caught.value.problems] == fields
    assert nothing_was_sent(connection)


def test_a_batch_that_is_all_wrong_names_only_some(publisher: Publisher) -> None:
    with pytest.raises(RequestInvalid) as caught:
        fan_out(**FLOW, shards=[{"a": math.nan}] * 100_000, launcher=on(publisher))
    assert len(caught.value.problems) < 100


def test_a_request_that_cannot_work_is_refused(publisher: Publisher, connection: RedisConnection) -> None:
    with pytest.raises(RequestInvalid):
        fan_out(**FLOW, cpu=1, shards=[{}], launcher=on(publisher))
    assert nothing_was_sent(connection)


def test_a_container_has_no_parameters_to_differ_in(publisher: Publisher, connection: RedisConnection) -> None:
    with pytest.raises(RequestInvalid):
        fan_out(image="job:1", org_id="acme", shards=[{"n": 1}], launcher=on(publisher))
    assert nothing_was_sent(connection)


def test_containers_that_do_not_differ_can_be_fanned_out(publisher: Publisher) -> None:
    assert len(fan_out(image="job:1", org_id="acme", shards=[{}] * 3, launcher=on(publisher))) == 3


def test_a_batch_of_nothing_is_over_at_once(publisher: Publisher) -> None:
    assert fan_out(**FLOW, shards=[], launcher=on(publisher)).progress() == BatchProgress(0, {})
    assert BatchProgress(0, {}).is_over


def test_a_fan_out_says_what_its_shards_are(publisher: Publisher, connection: RedisConnection) -> None:
    with pytest.raises(RequestInvalid, match="shards, or a task_count"):
        fan_out(**FLOW, launcher=on(publisher))
    assert nothing_was_sent(connection)


def test_a_redis_out_of_reach_is_an_error_of_ours() -> None:
    nowhere = Publisher.build(load_settings(redis={"url": "redis://127.0.0.1:1/0"}))
    with pytest.raises(RedisUnavailable):
        fan_out(**FLOW, shards=[{}], launcher=on(nowhere))


def test_shards_wait_before_they_are_expanded(publisher: Publisher) -> None:
    progress = fan_out(**FLOW, shards=[{}] * 5, launcher=on(publisher)).progress()
    assert progress == BatchProgress(5, {Phase.QUEUED: 5})
    assert (progress.done, progress.failed, progress.is_over) == (0, 0, False)


def test_a_batch_that_nobody_knows_is_not_found(publisher: Publisher) -> None:
    handle = BatchHandle(BATCH_ID, publisher)
    for ask in (handle.progress, handle.__len__):
        with pytest.raises(BatchNotFound):
            ask()


def test_a_shard_has_a_handle(publisher: Publisher) -> None:
    assert BatchHandle(BATCH_ID, publisher).shard(3).run_id == shard_id(BATCH_ID, 3)


def test_shards_are_counted_from_0(publisher: Publisher) -> None:
    handle = fan_out(**FLOW, shards=[{}, {}], batch_id=BATCH_ID, launcher=on(publisher))
    for ask in (handle.shard, handle.results):
        with pytest.raises(IndexError, match="counted from 0; -1 given"):
            ask(-1)


def test_a_handle_is_made_of_an_id_alone(publisher: Publisher) -> None:
    handle = BatchHandle(BATCH_ID, publisher)
    not_an_id: list[Any] = [handle, None, 7, ""]
    for wrong in not_an_id:
        with pytest.raises(RequestInvalid, match=r"batch_id = .*: a UUID"):
            BatchHandle(wrong, publisher)


def test_a_batch_is_waited_for_with_a_timeout(publisher: Publisher) -> None:
    handle = fan_out(**FLOW, shards=[{}], batch_id=BATCH_ID, launcher=on(publisher))
    with pytest.raises(ResultTimeout, match=f"{BATCH_ID} did not end"):
        handle.get(timeout=0.01)


def test_a_batch_that_nobody_knows_is_not_waited_for_again(publisher: Publisher) -> None:
    with pytest.raises(BatchNotFound):
        BatchHandle(BATCH_ID, publisher).get(timeout=0.01)


def test_a_batch_that_only_its_callback_keeps_from_its_end_says_so(publisher: Publisher) -> None:
    handle = fan_out(**FLOW, shards=[], batch_id=BATCH_ID, launcher=on(publisher))
    with pytest.raises(ResultTimeout, match=r"all shards .* have ended, but its callback"):
        handle.get(timeout=0.01)


def test_the_result_of_a_batch_is_its_callbacks(publisher: Publisher) -> None:
    publisher.app.backend.store_result(callback_id(BATCH_ID), [1, 2], states.SUCCESS)
    assert BatchHandle(BATCH_ID, publisher).get(timeout=5) == [1, 2]


def test_a_batch_with_a_failed_shard_fails_as_a_chord_does(publisher: Publisher) -> None:
    publisher.app.backend.store_result(callback_id(BATCH_ID), ChordError("shard 1"), states.FAILURE)
    with pytest.raises(ChordError):
        BatchHandle(BATCH_ID, publisher).get(timeout=5)


def test_any_process_can_make_a_handle(process: Publisher) -> None:
    handle = fan_out(**FLOW, shards=[{}])
    assert len(BatchHandle(handle.batch_id)) == 1
    assert repr(handle) == f"BatchHandle({handle.batch_id!r})"


phases = st.dictionaries(st.sampled_from(Phase), st.integers(0, 1000))


@unhurried
@given(phases)
def test_what_is_done_is_what_has_a_final_phase(by_phase: Mapping[Phase, int]) -> None:
    progress = BatchProgress(sum(by_phase.values()), by_phase)
    over = sum(by_phase.get(phase, 0) for phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED))
    assert progress.done == over
    assert progress.failed == by_phase.get(Phase.FAILED, 0)
    assert progress.is_over == (over == progress.total)


def watched(monkeypatch: pytest.MonkeyPatch, publisher: Publisher, *progresses: BatchProgress) -> list[BatchProgress]:
    """Watch a batch that makes these progresses, without waiting between them."""
    left: Iterator[BatchProgress] = iter(progresses)
    handle = BatchHandle(BATCH_ID, publisher)
    monkeypatch.setattr(handle, "progress", lambda: next(left))
    monkeypatch.setattr(batch_module, "_WATCH_SECONDS", 0)
    return list(handle.watch())


def test_watching_shows_each_change_once_and_ends(monkeypatch: pytest.MonkeyPatch, publisher: Publisher) -> None:
    waiting, half = BatchProgress(2, {Phase.QUEUED: 2}), BatchProgress(2, {Phase.QUEUED: 1, Phase.FAILED: 1})
    over = BatchProgress(2, {Phase.SUCCEEDED: 1, Phase.FAILED: 1})
    assert watched(monkeypatch, publisher, waiting, waiting, half, half, half, over) == [waiting, half, over]


def test_watching_what_is_over_shows_it_once(monkeypatch: pytest.MonkeyPatch, publisher: Publisher) -> None:
    over = BatchProgress(1, {Phase.CANCELLED: 1})
    assert watched(monkeypatch, publisher, over) == [over]


def test_watching_a_batch_of_nothing_ends(monkeypatch: pytest.MonkeyPatch, publisher: Publisher) -> None:
    assert watched(monkeypatch, publisher, BatchProgress(0, {})) == [BatchProgress(0, {})]


def test_the_callbacks_id_follows_from_the_batchs() -> None:
    assert callback_id(BATCH_ID) == callback_id(BATCH_ID.upper()) != BATCH_ID


def test_the_record_of_a_batch_is_json(publisher: Publisher) -> None:
    record = publisher.batches.get(fan_out(**FLOW, shards=[{}], launcher=on(publisher)).batch_id)
    assert json.loads(json.dumps({"request": record.request}))


def test_a_shard_that_is_not_entered_yet_is_waited_for(publisher: Publisher) -> None:
    handle = fan_out(**FLOW, shards=[{}, {}], launcher=on(publisher))
    with pytest.raises(ResultTimeout, match=r"shard 1 of batch .* is not entered yet"):
        handle.shard(1).get(timeout=0.01)


def test_a_shard_that_comes_while_it_is_waited_for_answers(publisher: Publisher) -> None:
    handle = fan_out(**FLOW, shards=[{}], launcher=on(publisher))
    run_id = shard_id(handle.batch_id, 0)

    def enter() -> None:
        message = Continuation("queue", "{}")
        publisher.batches.prepare(handle.batch_id, message, Place(pool="r/dagy|FARGATE", org="acme"))
        publisher.batches.enter_shards(handle.batch_id, 0, [(run_id, {})])
        publisher.app.backend.store_result(run_id, 7, states.SUCCESS)

    timer = threading.Timer(0.05, enter)
    timer.start()
    assert handle.shard(0).get(timeout=10) == 7
    timer.join()


def test_a_shard_that_the_batch_does_not_have_is_not_waited_for(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "find_record", lambda _: None)
    handle = fan_out(**FLOW, shards=[{}], launcher=on(publisher))
    with pytest.raises(RunNotFound, match="has no shard 1: it has 1 shards"):
        handle.shard(1).get()
    with pytest.raises(RunNotFound):
        BatchHandle(str(uuid.uuid4()), publisher).shard(0).get()
