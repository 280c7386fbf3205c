"""Messages that the broker lost, or that died with a worker: the ledger tells which, and they are sent again."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from celery.canvas import Signature

from dagy_queue.ids import AttemptId, new_id
from dagy_queue.ledger import BatchLedger, Continuation, RedisConnection, RunStatus
from dagy_queue.ledger.sweeps import SentAgain, SweepLedger
from dagy_queue.messaging.app import make_app
from dagy_queue.messaging.names import LAUNCH_QUEUE, LAUNCH_TASK
from dagy_queue.messaging.render import Renderer
from tests.integration.ledger.admission_kit import Scene, names
from tests.integration.ledger.sweep_kit import LONG, ids, launched, lose, lost, message, set_back, set_message_back
from tests.unit.kit import settings_on


def test_a_published_message_that_is_gone_is_sent_again(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    scene.runs.publish("r", message("r"), push=True, about={})
    lose(connection)
    assert lost(sweeps) == []
    set_message_back(connection, "published", "r")
    assert lost(sweeps) == [SentAgain("run", "r")]
    assert ids(connection) == ["r"]
    assert lost(sweeps) == []


def test_a_message_that_waits_is_not_sent_again(scene: Scene, sweeps: SweepLedger, connection: RedisConnection) -> None:
    for run_id in ("first", "second"):
        scene.runs.publish(run_id, message(run_id), push=True, about={})
        set_message_back(connection, "published", run_id, 100 if run_id == "first" else 50)
    assert lost(sweeps) == []
    lose(connection)
    assert lost(sweeps) == [SentAgain("run", "first")]
    assert ids(connection) == ["second", "first"]


def later(run_id: str, eta: str) -> Continuation:
    return Continuation("queue", json.dumps({"headers": {"id": run_id, "eta": eta}}))


def test_a_message_with_a_countdown_is_not_lost_before_it_is_due(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    scene.runs.publish("r", later("r", "2999-01-01T00:00:00+00:00"), push=True, about={})
    lose(connection)
    set_message_back(connection, "published", "r")
    assert lost(sweeps) == []
    scene.runs.publish("due", later("due", "2026-01-01T00:00:00+00:00"), push=False, about={})
    set_message_back(connection, "published", "due")
    assert lost(sweeps) == [SentAgain("run", "due")]


def test_a_message_with_a_countdown_says_nothing_of_those_behind_it(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    scene.runs.publish("later", later("later", "2999-01-01T00:00:00+00:00"), push=True, about={})
    scene.runs.publish("r", message("r"), push=True, about={})
    set_message_back(connection, "published", "r")
    assert lost(sweeps) == []


def test_messages_that_tell_nothing_are_no_reason_to_send_others_again(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    scene.runs.publish("r", message("r"), push=True, about={})
    set_message_back(connection, "published", "r")
    connection.client.delete("queue")
    connection.client.lpush("queue", "junk", json.dumps({"headers": {"id": "nobody"}}))
    assert lost(sweeps) == []


@pytest.mark.parametrize("junk", ["5", "true", "null", '{"headers": null}', '{"headers": {"id": 5}}', "{"])
def test_junk_in_a_list_stops_nothing(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection, junk: str
) -> None:
    scene.runs.publish("r", message("r"), push=False, about={})
    set_message_back(connection, "published", "r")
    connection.client.lpush("queue", junk)
    assert lost(sweeps) == []


def test_batches_that_wait_do_not_hide_one_whose_message_is_gone(
    batch_without_messages: str, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    batches = BatchLedger(connection)
    for number in range(30):
        stuck = Continuation("nobody's", message(f"stuck-{number}").message)
        batches.publish(f"stuck-{number}", stuck, deltas=[], fields={})
        set_back(connection, "published_batches", f"stuck-{number}", 1000)
    set_back(connection, "published_batches", batch_without_messages)
    found = [sweeps.lost_messages(10, LONG, 10) for _ in range(5)]
    assert [len(each) for each in found].count(1) == 1
    assert SentAgain("fan_out", batch_without_messages) in [each for look in found for each in look]
    assert len(ids(connection, "nobody's")) == 30


def test_messages_of_batches_that_wait_are_not_sent_again(
    batch_without_messages: str, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    connection.client.lpush("fanout", "another batch's")
    set_back(connection, "published_batches", batch_without_messages)
    assert lost(sweeps) == []


def test_a_backlog_that_nobody_consumes_does_not_hide_what_other_lists_have_lost(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    for number in range(30):
        run_id = f"stuck-{number}"
        scene.runs.publish(run_id, message(run_id, "stuck"), push=True, about={})
        set_message_back(connection, "published", run_id, 1000 - number, queue="stuck")
    launched(scene, "resumed")
    scene.end("resumed")
    scene.runs.publish("published", message("published"), push=True, about={})
    connection.client.delete("queue")
    for kind in ("published", "resumed"):
        set_message_back(connection, kind, kind)
    found = sweeps.lost_messages(10, LONG, 10)
    assert found == [SentAgain("run", "published"), SentAgain("resume", "resumed")]
    assert len(ids(connection, "stuck")) == 30


def test_each_list_has_its_share_of_a_look_and_the_rest_comes_in_the_next(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    for queue in ("a", "b"):
        for number in range(20):
            run_id = f"{queue}-{number}"
            scene.runs.publish(run_id, message(run_id, queue), push=False, about={})
            set_message_back(connection, "published", run_id, queue=queue)
    looks = [lost_of_lists(sweeps.lost_messages(10, LONG, 10)) for _ in range(5)]
    assert looks == [Counter(a=5, b=5)] * 4 + [Counter()]


def lost_of_lists(found: list[SentAgain]) -> Counter[str]:
    return Counter(each.id.partition("-")[0] for each in found)


def test_more_lists_than_a_look_takes_are_looked_at_in_turn(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    queues = [f"queue-{number}" for number in range(120)]
    for queue in queues:
        scene.runs.publish(queue, message(queue, queue), push=False, about={})
        set_message_back(connection, "published", queue, queue=queue)
    looks = [len(lost(sweeps)) for _ in range(4)]
    assert looks == [50, 50, 20, 0]


def test_a_list_without_messages_on_their_way_is_forgotten(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    launched(scene, "r")
    scene.end("r")
    assert scene.runs.claim("r", 1) is not None
    scene.runs.finish(AttemptId("r", 1), RunStatus.SUCCEEDED)
    lost(sweeps)
    assert not connection.client.exists(*(connection.key(name) for name in ("lists", "resumed:queue", "passes")))


def test_a_message_that_was_sent_again_and_then_put_back_does_not_make_its_list_look_lost(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    app = make_app(settings_on(connection))
    renderer, launch = Renderer(app), Signature(LAUNCH_TASK, options={"queue": LAUNCH_QUEUE}, app=app)
    for number, run_id in enumerate(("held", *names("waits-", 40))):
        scene.runs.publish(run_id, renderer.signature(launch, task_id=run_id), push=True, about={})
        set_message_back(connection, "published", run_id, 1000 - number, queue=LAUNCH_QUEUE)
    with app.connection_for_write() as broker:
        channel = broker.default_channel
        channel.basic_get(LAUNCH_QUEUE)  # a worker has it, and hangs
        assert lost(sweeps) == [SentAgain("run", "held")]
        channel.qos.restore_unacked_once()
    waiting = ids(connection, LAUNCH_QUEUE)
    assert (waiting[0], waiting[-1]) == ("held", "held")
    assert lost(sweeps) == []
    assert ids(connection, LAUNCH_QUEUE) == waiting


def test_a_message_sent_again_has_a_delivery_tag_of_its_own(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    text = json.dumps({"headers": {"id": "r"}, "properties": {"delivery_tag": "tag"}}, separators=(",", ":"))
    scene.runs.publish("r", Continuation("queue", text), push=False, about={})
    set_message_back(connection, "published", "r")
    lost(sweeps)
    [again] = connection.client.lrange("queue", 0, -1)
    assert json.loads(again)["properties"]["delivery_tag"] != "tag"


def test_a_resume_that_is_gone_is_sent_again_and_the_older_one_is_stale(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    launched(scene, "r")
    scene.end("r")
    lose(connection)
    set_message_back(connection, "resumed", "r")
    assert lost(sweeps) == [SentAgain("resume", "r")]
    assert scene.runs.claim("r", 1) is None
    assert scene.runs.claim("r", 2) is not None


def test_a_second_pass_is_given_time_before_its_worker_counts_as_dead(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    launched(scene, "r")
    scene.end("r")
    lose(connection)
    assert scene.runs.claim("r", 1) is not None
    set_message_back(connection, "resumed", "r")
    assert lost(sweeps) == []
    set_back(connection, "passes", "r", 20)
    assert sweeps.lost_messages(10, 15, 100) == [SentAgain("resume", "r")]


def test_a_finished_or_retried_run_needs_no_message(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    for run_id in ("finished", "retried"):
        launched(scene, run_id)
        scene.end(run_id)
        lose(connection)
        set_message_back(connection, "resumed", run_id)
    scene.runs.finish(AttemptId("finished", 1), RunStatus.SUCCEEDED)
    scene.runs.retry(AttemptId("retried", 1), 60)
    assert lost(sweeps) == []
    assert ids(connection) == []


def test_a_run_that_is_resumed_later_on_purpose_is_left_alone(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    attempt_id = launched(scene, "r")
    scene.end("r")
    lose(connection)
    assert scene.runs.postpone(attempt_id, 60, 5, longest=60)
    set_message_back(connection, "resumed", "r")
    assert lost(sweeps) == []


@pytest.mark.parametrize("kind", ["fan_out", "end_batch", "cancel_batch"])
def test_a_batch_s_message_that_is_gone_is_sent_again(
    batch_without_messages: str, kind: str, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    batch_id = batch_without_messages
    index = {"fan_out": "published_batches", "end_batch": "ending", "cancel_batch": "cancelling"}[kind]
    set_back(connection, index, batch_id)
    assert lost(sweeps) == [SentAgain(kind, batch_id)]
    assert ids(connection, "fanout") == [kind]
    assert lost(sweeps) == []


def test_a_batch_s_task_that_is_at_work_is_given_time(
    batch_without_messages: str, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    batch_id = batch_without_messages
    set_back(connection, "published_batches", batch_id)
    BatchLedger(connection).begin_work(batch_id)
    assert lost(sweeps) == []
    connection.client.hincrby(connection.key("batch", batch_id), "at_work", -20_000)
    assert sweeps.lost_messages(10, 15, 100) == [SentAgain("fan_out", batch_id)]


@pytest.fixture
def batch_without_messages(connection: RedisConnection) -> str:
    """A batch that is expanded, over and cancelled, as far as messages would tell; all of them were lost."""
    batches, batch_id = BatchLedger(connection), new_id()
    fields = {"request": "{}", "callback": "", "callback_id": "c", "correlation": "c", "org": "acme"}
    for name, kind in (("ender", "end_batch"), ("canceller", "cancel_batch")):
        fields[name] = message(kind).message
    batches.publish(batch_id, Continuation("fanout", message("fan_out").message), deltas=[], fields=fields)
    now = connection.client.time()[0] * 1000
    connection.client.zadd(connection.key("ending"), {batch_id: now})
    connection.client.zadd(connection.key("cancelling"), {batch_id: now})
    connection.client.delete("fanout")
    return batch_id
