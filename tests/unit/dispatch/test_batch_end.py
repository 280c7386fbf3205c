"""How a batch ends, in the words of its tasks; whole batches are in the integration tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, chain, chord, group, states
from celery.canvas import Signature
from celery.exceptions import ChordError, Reject, Retry

from dagy_queue.dispatch import batch_end, batch_tasks, expansion
from dagy_queue.dispatch.batch_end import NotAllEntered, cancel_batch, end_batch
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import BatchNotFound, RedisUnavailable, RunFailed
from dagy_queue.ids import AttemptId, shard_id
from dagy_queue.ledger import Phase, RedisConnection, RunStatus
from dagy_queue.ledger.sweeps import SentAgain, SweepLedger
from dagy_queue.messaging.names import (
    CANCEL_BATCH_TASK,
    END_BATCH_TASK,
    FAN_OUT_QUEUE,
    FAN_OUT_TASK,
    LAUNCH_QUEUE,
    LAUNCH_TASK,
)
from dagy_queue.messaging.shard_results import ShardResults
from dagy_queue.producer.batch import BatchHandle
from dagy_queue.producer.fan_out import fan_out
from dagy_queue.producer.publisher import Publisher
from tests.unit.dispatch.batch_end_kit import FAILED, FLOW, expanded, over
from tests.unit.dispatch.pass_kit import app_sig, sent
from tests.unit.producer.conftest import on

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


class Died(BaseException):
    """The dispatcher is dead."""


def died(*_: Any) -> bool:
    raise Died


def arguments(text: str) -> list[Any]:
    """Return the arguments that a message of the broker gives its task."""
    args: list[Any] = json.loads(base64.b64decode(json.loads(text)["body"]))[0]
    return args


def test_the_last_shard_sends_the_end_once(services: Services, connection: RedisConnection) -> None:
    batch = expanded(services, 2)
    over(services, batch, {0: 1})
    assert END_BATCH_TASK not in sent(connection, FAN_OUT_QUEUE)
    for _ in range(2):
        over(services, batch, {1: 1})
    assert sent(connection, FAN_OUT_QUEUE).count(END_BATCH_TASK) == 1


def test_results_are_told_in_order_where_there_is_no_callback(services: Services) -> None:
    batch = expanded(services, 3)
    over(services, batch, {2: "c", 0: "a", 1: "b"})
    assert end_batch(services, batch.batch_id) == {"batch_id": batch.batch_id, "shards": 3, "failed": 0}
    assert batch.get(timeout=5) == ["a", "b", "c"]


def test_a_callback_is_sent_once_with_the_results(services: Services, connection: RedisConnection) -> None:
    batch = expanded(services, 2, callback=Signature("app.total", options={"queue": "app"}))
    over(services, batch, {1: "b", 0: "a"})
    for _ in range(2):
        end_batch(services, batch.batch_id)
    assert sent(connection, "app") == ["app.total"]
    message = json.loads(connection.client.lindex("app", 0))  # type: ignore[arg-type]
    assert (message["headers"]["id"], message["headers"]["parent_id"]) == (batch.result.id, batch.batch_id)


def canvas(shape: str) -> Signature:
    """Return a callback that is more than a task."""
    shapes: dict[str, Signature] = {
        "chain": chain(app_sig("a"), app_sig("b"), app_sig("c")),
        "chord": chord([app_sig("a"), app_sig("b")], app_sig("c")),
        "chord of chains": chord([chain(app_sig("a"), app_sig("x")), app_sig("b")], chain(app_sig("c"), app_sig("d"))),
        "chord in a chain": chain(app_sig("a"), group(app_sig("b"), app_sig("b")), app_sig("c")),
        "nested group": chord([app_sig("a"), group([app_sig("b"), app_sig("b")])], app_sig("c")),
    }
    return shapes[shape]


@pytest.mark.parametrize(
    ("shape", "heads"),
    [
        ("chain", ["app.a"]),
        ("chord", ["app.a", "app.b"]),
        ("chord of chains", ["app.a", "app.b"]),
        ("chord in a chain", ["app.a"]),
        ("nested group", ["app.a", "app.b", "app.b"]),
    ],
)
def test_a_callback_of_several_tasks_is_sent_once_though_the_dispatcher_dies_in_between(
    services: Services, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch, shape: str, heads: list[str]
) -> None:
    batch = expanded(services, 2, callback=canvas(shape))
    over(services, batch, {1: "b", 0: "a"})
    with monkeypatch.context() as patch:
        patch.setattr(type(services.batches), "end", died)
        with pytest.raises(Died):
            end_batch(services, batch.batch_id)
    assert sent(connection, "app") == []
    for _ in range(2):
        end_batch(services, batch.batch_id)
    assert sorted(sent(connection, "app")) == heads
    bodies = [arguments(text) for text in connection.client.lrange("app", 0, -1)]
    assert bodies == [[["a", "b"]]] * len(heads)


@pytest.mark.parametrize("shape", ["chain", "chord", "chord of chains", "chord in a chain", "nested group"])
def test_error_callbacks_are_sent_once_though_the_dispatcher_dies_in_between(
    services: Services, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    callback = canvas(shape)
    chained = chain(app_sig("second"), app_sig("third"))
    held = callback.body if shape in ("chord", "chord of chains", "nested group") else callback
    for errback in (app_sig("first"), chained):
        held.link_error(errback)
    batch = expanded(services, 1, callback=callback)
    over(services, batch, {0: FAILED})
    with monkeypatch.context() as patch:
        patch.setattr(type(services.batches), "end", died)
        with pytest.raises(Died):
            end_batch(services, batch.batch_id)
    for _ in range(2):
        end_batch(services, batch.batch_id)
    assert sorted(sent(connection, "app")) == ["app.first", "app.second"]
    assert [arguments(text) for text in connection.client.lrange("app", 0, -1)] == [[batch.result.id]] * 2
    with pytest.raises(ChordError, match="1 of 1 shards failed"):
        batch.get(timeout=5)


def test_a_callback_that_is_a_launch_is_in_the_ledger_with_its_message(
    services: Services, connection: RedisConnection
) -> None:
    launch = Signature(
        LAUNCH_TASK, kwargs={"request": {**FLOW, "correlation_id": "c"}}, options={"queue": LAUNCH_QUEUE}
    )
    batch = expanded(services, 1, callback=chord([launch.clone(), app_sig("a")], launch.clone()))
    over(services, batch, {0: "a"})
    for _ in range(2):
        end_batch(services, batch.batch_id)
    (message,) = connection.client.lrange(LAUNCH_QUEUE, 0, 0)
    entry = services.runs.get(json.loads(message)["headers"]["id"])
    assert (entry.phase, entry.org_id, entry.flow_name, entry.correlation_id) == (Phase.QUEUED, "acme", "etl", "c")
    assert connection.client.zscore(connection.key("published", LAUNCH_QUEUE), entry.run_id)
    assert connection.client.hget(connection.key("run", entry.run_id), "published") == message


def test_results_too_large_for_a_message_go_as_a_reference(services: Services) -> None:
    batch = expanded(services, 2)
    over(services, batch, {0: "x" * 200_000, 1: "x" * 200_000})
    record = services.batches.get(batch.batch_id)
    assert isinstance(batch_end._results(services, record), ShardResults)


def test_more_failures_than_tolerated_fail_the_batch_and_name_some(services: Services) -> None:
    batch = expanded(services, 6, tolerate=2)
    over(services, batch, {0: 1, 1: FAILED, 2: FAILED, 3: FAILED, 4: FAILED, 5: FAILED})
    end_batch(services, batch.batch_id)
    with pytest.raises(ChordError, match=r"5 of 6 shards failed: shard 1 \(run .*shard 3.*; and 2 more"):
        batch.get(timeout=5)


def test_cancelled_shards_are_not_told_as_failed(services: Services) -> None:
    batch = expanded(services, 4, fail_fast=True)
    over(services, batch, {1: FAILED}, most=4)
    cancel_batch(services, batch.batch_id)
    for shard in (0, 2, 3):
        run_id = shard_id(batch.batch_id, shard)
        services.app.backend.store_result(run_id, RunFailed("stopped"), states.REVOKED)
        services.runs.complete(AttemptId(run_id, 1), {"outcome": {"kind": "cancelled", "summary": "s"}})
        services.runs.finish(AttemptId(run_id, 1), RunStatus.CANCELLED)
    end_batch(services, batch.batch_id)
    with pytest.raises(
        ChordError, match=r"1 of 4 shards failed, 3 were cancelled \(too many .*\): shard 1 \(run .*\): [^;]*$"
    ):
        batch.get(timeout=5)


def test_failures_within_the_tolerance_are_marked(services: Services) -> None:
    batch = expanded(services, 2, tolerate="50%")
    over(services, batch, {0: 1, 1: FAILED})
    end_batch(services, batch.batch_id)
    good, bad = batch.get(timeout=5)
    assert (good, bad["failed"], bad["shard"]) == (1, True, 1)


def test_a_batch_that_fails_fast_asks_once_for_its_end(services: Services, connection: RedisConnection) -> None:
    batch = expanded(services, 4, fail_fast=True)
    over(services, batch, {0: FAILED, 1: FAILED})
    assert sent(connection, FAN_OUT_QUEUE).count(CANCEL_BATCH_TASK) == 1
    assert cancel_batch(services, batch.batch_id) == 2
    assert services.batches.get(batch.batch_id).cancel_reason == "too many shards have failed"


def test_cancelling_drops_what_waits_and_leaves_what_has_ended(services: Services) -> None:
    batch = expanded(services, 3)
    over(services, batch, {0: 1}, most=1)
    batch.cancel("not wanted")
    assert [cancel_batch(services, batch.batch_id) for _ in range(2)] == [2, 0]
    assert services.batches.counts(batch.batch_id) == {Phase.SUCCEEDED: 1, Phase.CANCELLED: 2}


def test_a_batch_that_is_still_expanded_is_cancelled_again_later(services: Services) -> None:
    publisher = Publisher.build(services.settings)
    batch = fan_out(**FLOW, shards=[{}] * 3, launcher=on(publisher))
    batch.cancel()
    with pytest.raises(NotAllEntered):
        cancel_batch(services, batch.batch_id)


def test_a_callback_that_a_dispatcher_cannot_read_fails_the_batch_at_once(
    services: Services, connection: RedisConnection
) -> None:
    batch = expanded(services, 1, callback=Signature("app.total"))
    unknown = {"task": "app.total", "args": [{"__type__": "money", "__value__": "3 EUR"}]}
    connection.client.hset(connection.key("batch", batch.batch_id), "callback", json.dumps(unknown))
    over(services, batch, {0: 1})
    end_batch(services, batch.batch_id)
    with pytest.raises(ChordError, match=r"a dispatcher cannot read the callback: .*money"):
        batch.get(timeout=5)


def task_of(services: Services, name: str) -> Any:
    """Return a task of a dispatcher, for a test to call in its own process."""
    app = Celery("dispatcher", set_as_current=False)
    batch_tasks.register_batches(app, services)
    return app.tasks[name]


def failed_too_often(services: Services, batch: BatchHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the end of a batch fail for the last time."""
    monkeypatch.setattr(batch_end, "_succeed", lambda *_: 1 / 0)
    task = task_of(services, END_BATCH_TASK)
    task.push_request(retries=batch_tasks._MOST_RETRIES, called_directly=False)
    with pytest.raises(ZeroDivisionError):
        task.run(batch.batch_id)
    assert services.batches.get(batch.batch_id).is_ended
    with pytest.raises(ChordError, match=r"could not be sent: ZeroDivisionError"):
        batch.get(timeout=5)


def test_an_end_that_fails_too_often_fails_the_batch_and_calls_its_error_callbacks(
    services: Services, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = expanded(services, 1, callback=app_sig("a").on_error(app_sig("oops")))
    over(services, batch, {0: 1})
    failed_too_often(services, batch, monkeypatch)
    assert sent(connection, "app") == ["app.oops"]


def test_an_end_that_fails_too_often_fails_the_batch_even_without_its_error_callbacks(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = expanded(services, 1, callback=app_sig("a").on_error(app_sig("oops")))
    over(services, batch, {0: 1})
    monkeypatch.setattr(type(services.renderer), "messages", lambda *_, **__: 1 / 0)
    failed_too_often(services, batch, monkeypatch)


def test_a_batch_that_cannot_be_expanded_fails_with_the_reason(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher.build(services.settings)
    batch = fan_out(**FLOW, shards=[{}], launcher=on(publisher))
    monkeypatch.setattr(expansion, "_prepare", lambda *_: 1 / 0)
    task_of(services, FAN_OUT_TASK).run(batch.batch_id)
    task_of(services, END_BATCH_TASK).run(batch.batch_id)
    with pytest.raises(ChordError, match="its shards cannot be entered: ZeroDivisionError"):
        batch.get(timeout=5)


def without_shards(services: Services) -> BatchHandle:
    return fan_out(**FLOW, shards=[], launcher=on(Publisher.build(services.settings)))


def refused(services: Services) -> BatchHandle:
    batch = fan_out(**FLOW, shards=[{}], launcher=on(Publisher.build(services.settings)))
    services.batches.refuse(batch.batch_id, "its manifest is gone")
    return batch


@pytest.mark.parametrize("make", [without_shards, refused])
def test_a_batch_in_which_nothing_runs_ends_also_if_its_dispatcher_dies(
    services: Services, connection: RedisConnection, make: Callable[[Services], BatchHandle]
) -> None:
    batch = make(services)
    for _ in range(2):  # its message may come twice
        task_of(services, FAN_OUT_TASK).run(batch.batch_id)
    assert sent(connection, FAN_OUT_QUEUE) == [FAN_OUT_TASK, END_BATCH_TASK]
    # The dispatcher dies, and takes along what Redis had sent it.
    connection.client.delete(FAN_OUT_QUEUE)
    connection.client.zincrby(connection.key("ending"), -100_000, batch.batch_id)
    assert SweepLedger(connection).lost_messages(10, 60, 10) == [SentAgain("end_batch", batch.batch_id)]
    assert sent(connection, FAN_OUT_QUEUE) == [END_BATCH_TASK]
    task_of(services, END_BATCH_TASK).run(batch.batch_id)
    assert services.batches.get(batch.batch_id).is_ended
    if make is without_shards:
        assert batch.get(timeout=5) == []
    else:
        with pytest.raises(ChordError, match="its manifest is gone"):
            batch.get(timeout=5)


class FakeTask:
    """What ``_or_again`` needs of a Celery task."""

    request = SimpleNamespace(retries=500)

    def retry(self, *, exc: Exception, countdown: float, max_retries: int | None = None) -> Retry:
        if isinstance(exc, NotAllEntered):
            assert max_retries is not None
            assert max_retries > self.request.retries
        return Retry(str(countdown), exc)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RedisUnavailable("gone"), Reject),
        (BatchNotFound("expired"), BatchNotFound),
        (NotAllEntered("b"), Retry),
        (ZeroDivisionError(), Retry),
    ],
)
def test_what_a_batch_depends_on_is_done_again(services: Services, error: Exception, raised: type[Exception]) -> None:
    services.patiently.end()

    def work() -> None:
        raise error

    with pytest.raises(raised):
        batch_tasks._or_again(services, FakeTask(), work)  # type: ignore[arg-type]
