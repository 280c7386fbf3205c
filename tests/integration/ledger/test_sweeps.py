"""What the ledger tells the reconciler: silent tasks, lost messages, unanswered launches, wrong counts."""

from __future__ import annotations

import json

import pytest

from dagy_queue.ids import AttemptId, new_id
from dagy_queue.ledger import BatchLedger, Continuation, Phase, RedisConnection, RunStatus
from dagy_queue.ledger.leadership import Leadership
from dagy_queue.ledger.sweeps import Miscounted, QuietTask, SentAgain, SweepLedger, Unanswered
from tests.integration.ledger.admission_kit import ARN, DONE, POOL, Scene

LONG = 3600.0


@pytest.fixture
def sweeps(connection: RedisConnection) -> SweepLedger:
    return SweepLedger(connection)


def launched(scene: Scene, run_id: str) -> AttemptId:
    scene.park(run_id)
    assert scene.granted() == [run_id]
    attempt_id = AttemptId(run_id, 1)
    scene.admission.launched(attempt_id, f"{ARN}-{run_id}")
    return attempt_id


def message(run_id: str) -> Continuation:
    return Continuation("queue", json.dumps({"headers": {"id": run_id}, "properties": {"delivery_tag": "tag"}}))


def ids(connection: RedisConnection, queue: str = "queue") -> list[str]:
    """Return the ids of the messages in a list, the next one first."""
    return [json.loads(text)["headers"]["id"] for text in reversed(connection.client.lrange(queue, 0, -1))]


def lose(connection: RedisConnection, queue: str = "queue") -> None:
    """Do what a worker does that dies with a message in hand."""
    assert connection.client.rpop(queue)


def set_back(connection: RedisConnection, index: str, member: str, seconds: float = 100) -> None:
    connection.client.zincrby(connection.key(index), -1000 * seconds, member)


def lost(sweeps: SweepLedger) -> list[SentAgain]:
    return sweeps.lost_messages(10, LONG, 100)


def test_a_silent_task_is_told_and_comes_again_after_as_long_a_silence(scene: Scene, sweeps: SweepLedger) -> None:
    attempt_id = launched(scene, "r")
    assert sweeps.quiet_tasks(LONG, 10) == ([], False)
    [task], more = sweeps.quiet_tasks(0, 10)
    assert task == QuietTask(attempt_id, f"{ARN}-r", Phase.SUBMITTED, task.silence)
    assert not more
    assert sweeps.quiet_tasks(LONG, 10) == ([], False)


def test_a_task_of_which_something_was_heard_is_not_silent(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    launched(scene, "r")
    set_back(connection, "tasks", "r")  # Its phase has changed since.
    assert sweeps.quiet_tasks(50, 10) == ([], False)
    assert sweeps.quiet_tasks(50, 10) == ([], False)


def test_more_silent_tasks_than_asked_for_are_announced(scene: Scene, sweeps: SweepLedger) -> None:
    for n in range(3):
        launched(scene, f"r{n}")
    tasks, more = sweeps.quiet_tasks(0, 2)
    assert (len(tasks), more) == (2, True)


def test_a_run_that_has_ended_has_no_task_any_more(scene: Scene, sweeps: SweepLedger) -> None:
    launched(scene, "r")
    assert sweeps.known_tasks() == {f"{ARN}-r"}
    scene.end("r")
    assert sweeps.quiet_tasks(0, 10) == ([], False)
    assert sweeps.known_tasks() == set()


def test_a_task_that_does_not_start_is_stopped_and_its_run_says_why(scene: Scene, sweeps: SweepLedger) -> None:
    attempt_id = launched(scene, "r")
    assert sweeps.late_start(attempt_id)
    [task] = scene.admission.lease(1, 60).unwanted
    assert task.task_arn == f"{ARN}-r"
    scene.end("r")
    stopped = scene.runs.claim("r")
    assert stopped is not None
    assert (stopped.is_late, stopped.never_started) == (True, True)
    assert not sweeps.late_start(attempt_id)


def test_a_published_message_that_is_gone_is_sent_again(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    scene.runs.publish("r", message("r"), push=True, about={})
    lose(connection)
    assert lost(sweeps) == []
    set_back(connection, "published", "r")
    assert lost(sweeps) == [SentAgain("run", "r")]
    assert ids(connection) == ["r"]
    assert lost(sweeps) == []


def test_a_message_that_waits_is_not_sent_again(scene: Scene, sweeps: SweepLedger, connection: RedisConnection) -> None:
    for run_id in ("first", "second"):
        scene.runs.publish(run_id, message(run_id), push=True, about={})
        set_back(connection, "published", run_id, 100 if run_id == "first" else 50)
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
    set_back(connection, "published", "r")
    assert lost(sweeps) == []
    scene.runs.publish("due", later("due", "2026-01-01T00:00:00+00:00"), push=False, about={})
    set_back(connection, "published", "due")
    assert lost(sweeps) == [SentAgain("run", "due")]


def test_a_message_with_a_countdown_says_nothing_of_those_behind_it(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    scene.runs.publish("later", later("later", "2999-01-01T00:00:00+00:00"), push=True, about={})
    scene.runs.publish("r", message("r"), push=True, about={})
    set_back(connection, "published", "r")
    assert lost(sweeps) == []


def test_messages_that_tell_nothing_are_no_reason_to_send_others_again(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    scene.runs.publish("r", message("r"), push=True, about={})
    set_back(connection, "published", "r")
    connection.client.delete("queue")
    connection.client.lpush("queue", "junk", json.dumps({"headers": {"id": "nobody"}}))
    assert lost(sweeps) == []


@pytest.mark.parametrize("junk", ["5", "true", "null", '{"headers": null}', '{"headers": {"id": 5}}', "{"])
def test_junk_in_a_list_stops_nothing(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection, junk: str
) -> None:
    scene.runs.publish("r", message("r"), push=False, about={})
    set_back(connection, "published", "r")
    connection.client.lpush("queue", junk)
    assert lost(sweeps) == []


def test_messages_of_batches_that_wait_are_not_sent_again(
    batch_without_messages: str, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    connection.client.lpush("fanout", "another batch's")
    set_back(connection, "published_batches", batch_without_messages)
    assert lost(sweeps) == []


def test_a_message_sent_again_has_a_delivery_tag_of_its_own(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    text = json.dumps({"headers": {"id": "r"}, "properties": {"delivery_tag": "tag"}}, separators=(",", ":"))
    scene.runs.publish("r", Continuation("queue", text), push=False, about={})
    set_back(connection, "published", "r")
    lost(sweeps)
    [again] = connection.client.lrange("queue", 0, -1)
    assert json.loads(again)["properties"]["delivery_tag"] != "tag"


def test_a_resume_that_is_gone_is_sent_again_and_the_older_one_is_stale(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    launched(scene, "r")
    scene.end("r")
    lose(connection)
    set_back(connection, "resumed", "r")
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
    set_back(connection, "resumed", "r")
    assert lost(sweeps) == []
    connection.client.hincrby(connection.key("run", "r"), "claimed", -20_000)
    assert sweeps.lost_messages(10, 15, 100) == [SentAgain("resume", "r")]


def test_a_finished_or_retried_run_needs_no_message(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    for run_id in ("finished", "retried"):
        launched(scene, run_id)
        scene.end(run_id)
        lose(connection)
        set_back(connection, "resumed", run_id)
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
    assert scene.runs.postpone(attempt_id, 60, 5)
    set_back(connection, "resumed", "r")
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


def unanswered(scene: Scene, run_id: str = "r") -> AttemptId:
    """A launch whose answer never came, of a run that was cancelled then."""
    scene.park(run_id)
    attempt_id = AttemptId(run_id, 1)
    assert scene.granted() == [run_id]
    scene.admission.release(
        attempt_id, delay=60, new_attempt=False, give_up_after=60, reason="no answer", unanswered=True
    )
    scene.runs.cancel(run_id, "not wanted", DONE)
    return attempt_id


def test_a_launch_without_an_answer_is_looked_for_twice_when_its_run_is_over(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    attempt_id = unanswered(scene)
    assert sweeps.unanswered(10, 50, 10) == []
    set_back(connection, "searches", "r/1")
    assert sweeps.unanswered(10, 50, 10) == [Unanswered(attempt_id, POOL)]
    assert sweeps.unanswered(10, 50, 10) == []
    set_back(connection, "second_searches", "r/1")
    assert sweeps.unanswered(10, 50, 10) == [Unanswered(attempt_id, POOL)]
    assert sweeps.unanswered(0, 0, 10) == []


def test_a_launch_whose_dispatcher_died_is_looked_for_when_its_run_is_over(
    scene: Scene, connection: RedisConnection
) -> None:
    scene.park("r")
    scene.admission.lease(1, 0)
    assert scene.granted(0) == []
    assert scene.runs.get("r").phase is Phase.HELD
    scene.runs.cancel("r", "not wanted", DONE)
    assert connection.client.zcard(connection.key("searches")) == 1


def test_a_launch_that_was_answered_is_not_looked_for(scene: Scene, connection: RedisConnection) -> None:
    launched(scene, "r")
    scene.end("r")
    assert connection.client.zcard(connection.key("searches")) == 0


def test_unwanted_tasks_are_stopped_by_a_pump(scene: Scene, sweeps: SweepLedger) -> None:
    sweeps.unwanted([])
    sweeps.unwanted([ARN])
    assert [task.task_arn for task in scene.admission.lease(1, 60).unwanted] == [ARN]


def test_slots_that_are_miscounted_are_counted_anew(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    launched(scene, "running")
    scene.park("submitting", "held", cpu=512)
    assert len(scene.granted(1)) == 1
    cluster = POOL.partition("|")[0]
    assert sweeps.clusters() == [cluster]
    assert sweeps.recount([cluster]) == []
    connection.client.hset(connection.key("slots", cluster), mapping={"tasks": 7, "tasks:gone": 3})
    connection.client.hdel(connection.key("slots", cluster), "cpu")
    wrong = {each.slot: each for each in sweeps.recount([cluster])}
    assert wrong["tasks"] == Miscounted(cluster, "tasks", 7, 2)
    assert wrong["tasks:gone"] == Miscounted(cluster, "tasks:gone", 3, 0)
    assert wrong["cpu"] == Miscounted(cluster, "cpu", 0, 256 + 512)
    assert sweeps.recount([cluster]) == []


def test_only_one_process_leads(connection: RedisConnection) -> None:
    first, second = (Leadership(connection, "reconciler", 60) for _ in range(2))
    assert [first.leads(), second.leads(), first.leads()] == [True, False, True]
    second.resign()
    assert not second.leads()
    first.resign()
    assert second.leads()
    assert not first.leads()


def test_a_lead_that_is_not_renewed_ends(connection: RedisConnection) -> None:
    assert Leadership(connection, "reconciler", 60).leads()
    connection.client.delete(connection.key("lead", "reconciler"))
    assert Leadership(connection, "reconciler", 60).leads()
