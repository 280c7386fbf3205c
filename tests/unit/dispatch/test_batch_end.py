"""How a batch ends, in the words of its tasks; whole batches are in the integration tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, states
from celery.canvas import Signature
from celery.exceptions import ChordError, Reject, Retry

from dagy_queue.dispatch import batch_end, batch_tasks, expansion
from dagy_queue.dispatch.batch_end import NotAllEntered, cancel_batch, end_batch
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import BatchNotFound, RedisUnavailable, RunFailed
from dagy_queue.ids import AttemptId, shard_id
from dagy_queue.ledger import Phase, RedisConnection, RunStatus
from dagy_queue.messaging.names import CANCEL_BATCH_TASK, END_BATCH_TASK, FAN_OUT_QUEUE, FAN_OUT_TASK
from dagy_queue.messaging.shard_results import ShardResults
from dagy_queue.producer.batch import BatchHandle
from dagy_queue.producer.fan_out import fan_out
from dagy_queue.producer.publisher import Publisher
from tests.unit.producer.conftest import on

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}
FAILED = RunFailed("exit code 3", {"kind": "failed", "summary": "exit code 3"})

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


def expanded(services: Services, shards: int, **options: Any) -> BatchHandle:
    publisher = Publisher.build(services.settings)
    batch = fan_out(**FLOW, shards=[{}] * shards, launcher=on(publisher), **options)
    expansion.expand(services, batch.batch_id, batch.batch_id)
    return batch


def over(services: Services, batch: BatchHandle, results: Mapping[int, Any], most: int = 100) -> None:
    """End shards with these results; one that is an exception has failed."""
    services.admission.lease(most, 60)
    for shard, result in results.items():
        run_id, failed = shard_id(batch.batch_id, shard), isinstance(result, Exception)
        services.app.backend.store_result(run_id, result, states.FAILURE if failed else states.SUCCESS)
        services.runs.complete(AttemptId(run_id, 1), {"outcome": {"kind": "x", "summary": "s"}})
        services.runs.finish(AttemptId(run_id, 1), RunStatus.FAILED if failed else RunStatus.SUCCEEDED)


def sent(connection: RedisConnection, queue: str) -> list[str]:
    """Return the names of the tasks in a queue, the first that was sent first."""
    return [json.loads(text)["headers"]["task"] for text in reversed(connection.client.lrange(queue, 0, -1))]


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


def test_an_end_that_fails_too_often_fails_the_batch(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = expanded(services, 1)
    over(services, batch, {0: 1})
    monkeypatch.setattr(batch_end, "_succeed", lambda *_: 1 / 0)
    task = task_of(services, END_BATCH_TASK)
    task.push_request(retries=batch_tasks._MOST_RETRIES, called_directly=False)
    with pytest.raises(ZeroDivisionError):
        task.run(batch.batch_id)
    assert services.batches.get(batch.batch_id).is_ended
    with pytest.raises(ChordError, match=r"could not be sent: ZeroDivisionError"):
        batch.get(timeout=5)


def test_a_batch_that_cannot_be_expanded_fails_with_the_reason(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher.build(services.settings)
    batch = fan_out(**FLOW, shards=[{}], launcher=on(publisher))
    monkeypatch.setattr(expansion, "_prepare", lambda *_: 1 / 0)
    task_of(services, FAN_OUT_TASK).run(batch.batch_id)
    with pytest.raises(ChordError, match="its shards cannot be entered: ZeroDivisionError"):
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
