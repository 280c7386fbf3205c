"""What the ledger tells the reconciler: silent tasks, unanswered launches, tasks that nobody owns, wrong counts."""

from __future__ import annotations

import pytest

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Phase, RedisConnection
from dagy_queue.ledger.leadership import Leadership
from dagy_queue.ledger.runs import Observation
from dagy_queue.ledger.sweeps import Miscounted, QuietTask, SweepLedger, Unanswered
from tests.integration.ledger.admission_kit import ARN, DONE, POOL, Scene
from tests.integration.ledger.sweep_kit import LONG, launched, lost, set_back


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


def test_a_run_whose_timeout_was_over_first_is_not_tried_again_for_its_start(scene: Scene, sweeps: SweepLedger) -> None:
    (run_id,) = scene.batch(1, timeout=0.0)
    assert scene.granted() == [run_id]
    scene.admission.launched(AttemptId(run_id, 1), ARN)
    assert scene.admission.lease(1, 60).unwanted
    assert not sweeps.late_start(AttemptId(run_id, 1))
    scene.end(run_id)
    stopped = scene.runs.claim(run_id)
    assert stopped is not None
    assert (stopped.is_late, stopped.never_started) == (True, False)


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


def test_a_task_that_no_run_owns_is_asked_to_stop_once_and_again_after_some_minutes(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    for _ in range(3):
        sweeps.unwanted([ARN])
        sweeps.unwanted([ARN + "-other"])
    asked = [task.task_arn for task in scene.admission.lease(1, 60).unwanted]
    assert sorted(asked) == [ARN, ARN + "-other"]
    sweeps.unwanted([ARN])
    assert scene.admission.lease(1, 60).unwanted == ()
    remembered = connection.key("stop_asked", ARN)
    assert 60 < int(connection.client.ttl(remembered)) <= 900
    connection.client.delete(remembered)  # its time is over
    sweeps.unwanted([ARN])
    assert [task.task_arn for task in scene.admission.lease(1, 60).unwanted] == [ARN]


def test_every_event_of_a_task_whose_run_is_over_is_one_reason_to_stop_it(scene: Scene) -> None:
    scene.park("r")
    scene.granted()
    scene.end("r")
    events = [
        Observation(attempt_id=AttemptId("r", 1), version=version, task_arn=ARN, phase=Phase.PENDING)
        for version in range(1, 4)
    ]
    asked = []
    for event in events:
        scene.runs.apply([event])
        asked += [task.task_arn for task in scene.admission.lease(1, 60).unwanted]
    assert asked == [ARN]


def test_a_task_that_could_not_be_asked_to_stop_is_asked_by_whoever_finds_it_next(
    scene: Scene, sweeps: SweepLedger
) -> None:
    sweeps.unwanted([ARN])
    assert len(scene.admission.lease(1, 60).unwanted) == 1
    scene.admission.not_stopped(ARN)
    sweeps.unwanted([ARN])
    assert [task.task_arn for task in scene.admission.lease(1, 60).unwanted] == [ARN]


@pytest.mark.parametrize("index", ["published:queue", "resumed:queue", "passes", "tasks", "leases", "delayed", "stops"])
def test_a_key_that_is_no_run_s_stops_nobody(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection, index: str
) -> None:
    connection.client.set(connection.key("run", "junk"), "no run")
    connection.client.zadd(connection.key(index), {"junk": 1})
    connection.client.zadd(connection.key("lists"), {"queue": 0})
    scene.park("r")
    assert scene.granted() == ["r"]
    assert lost(sweeps) == []
    assert sweeps.quiet_tasks(0, 10) == ([], False) or index == "tasks"
    sweeps.recount([POOL.partition("|")[0]])
    assert connection.client.zscore(connection.key(index), "junk") is None


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


def test_the_zeros_of_orgs_that_run_nothing_any_more_are_dropped(
    scene: Scene, sweeps: SweepLedger, connection: RedisConnection
) -> None:
    launched(scene, "r")
    cluster = POOL.partition("|")[0]
    scene.end("r")
    before = connection.client.hgetall(connection.key("slots", cluster))
    assert before == {"tasks": "0", "tasks:acme": "0", "cpu": "0", "cpu:acme": "0"}
    assert sweeps.recount([cluster]) == []
    assert connection.client.hgetall(connection.key("slots", cluster)) == {"tasks": "0", "cpu": "0"}


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
