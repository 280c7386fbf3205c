"""What the reconciler finds: lost events, lost messages, launches without an answer, tasks without a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from dagy_queue import BatchHandle, ContainerRequest, DagLauncher, Phase, RunCancelled, RunFailed, fan_out
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ids import AttemptId, new_id
from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from dagy_queue.messaging.names import FAN_OUT_QUEUE, LAUNCH_QUEUE
from dagy_queue.operate.flows import push_flow
from tests.integration.conftest import FLOWS, ORG, TIMEOUT, let_go_of_results
from tests.integration.waiting import eventually, until_phase

STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
LONG = STUB.model_copy(update={"command": ("3600", "0")})
QUICK = {
    "RECONCILER__INTERVAL": "0.2",
    "RECONCILER__SILENCE": "1",
    "RECONCILER__MISSING_GRACE": "2",
    "RECONCILER__MESSAGE_PATIENCE": "1",
    "RECONCILER__SEARCH_AFTER": "0.2",
    "RECONCILER__SWEEP_INTERVAL": "0.5",
    "BRIDGE__WAIT_SECONDS": "1",
    "DISPATCH__LEASE_SECONDS": "1",
    "DISPATCH__THROTTLE_DELAY": "0.05",
}


LAUNCHED_DIRECTLY = """
from dagy_queue import ContainerRequest, DagLauncher
request = ContainerRequest(org_id="acme", image="dagy-local/stub:latest", command=("3600", "0"))
print(DagLauncher(mode="direct").launch(request).run_id)
"""
PLAIN_WORKER = """
import sys
from celery import Celery
app = Celery("plain", broker=sys.argv[1], backend=sys.argv[1])
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, broker_connection_retry_on_startup=True)
@app.task(name="plain.task")
def task():
    return "done"
app.worker_main(["worker", "--pool=solo", "--queues=plain", "--without-mingle", "--without-gossip"])
"""


class Scene:
    """A stack with a bridge that reconciles at once, and dispatchers that a test starts and kills."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.launcher = DagLauncher(stack.settings())
        self.ecs = AwsClients(stack.settings().aws).ecs_control
        self.redis = self.launcher.publisher.batches.connection.client

    def dispatcher(self, **variables: str) -> Child:
        return self._spawn("dispatcher", {"DISPATCH__LEASE_SECONDS": "1", **variables})

    def bridge(self, **variables: str) -> Child:
        return self._spawn("bridge", {**QUICK, **variables})

    def _spawn(self, name: str, variables: dict[str, str]) -> Child:
        environment = {f"DAGY_QUEUE__{key}": value for key, value in {**QUICK, **variables}.items()}
        return self.stack.spawn(name, label=name, environment=environment)

    def faults(self, **blocks: Any) -> None:
        self.stack.admin("faults", blocks)

    def running(self, started_by: str) -> list[str]:
        return self.ecs.list_tasks(cluster="dagy", startedBy=started_by, desiredStatus="RUNNING")["taskArns"]

    def die_while_popping(self, start: Callable[[], Child], queue: str, publish: Callable[[], Any]) -> Any:
        """Have a worker take a message from a queue and die before it knows: Redis has sent it, nobody read it."""
        worker = self._frozen(start, queue)
        published = publish()
        while not self._is_given_away(queue):
            message = self.redis.rpop(queue)
            kill(worker)
            worker = self._frozen(start, queue)
            self.redis.lpush(queue, message)  # type: ignore[arg-type]
        assert not self.redis.exists("unacked")
        kill(worker)
        return published

    def _frozen(self, start: Callable[[], Child], queue: str) -> Child:
        """Return a worker that is frozen while it waits for a message: for less than a second, as a BRPOP lasts."""
        # One that waits: a worker may take longer to start than a call may take.
        patient = redis.Redis.from_url(self.stack.redis_url, decode_responses=True, socket_timeout=TIMEOUT)
        with patient.monitor() as monitor:
            worker = start()
            next(each for each in monitor.listen() if {"BRPOP", queue} <= {*each["command"].split()})
            os.kill(worker.pid, signal.SIGSTOP)
        return worker

    def _is_given_away(self, queue: str) -> bool:
        try:
            return eventually(lambda: not self.redis.exists(queue), "Redis has given the message away", seconds=2)
        except AssertionError:
            return False


def kill(child: Child) -> None:
    os.kill(child.pid, signal.SIGKILL)
    eventually(lambda: child.poll() is not None, f"{child.name} is dead")


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(data_dir=tmp_path_factory.mktemp("reconciler")) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        push_flow(running.settings(), FLOWS, org_id=ORG, flow="echo")
        yield running
        let_go_of_results()


@pytest.fixture
def scene(running_stack: LocalStack) -> Iterator[Scene]:
    scene = Scene(running_stack)
    yield scene
    for child in ("dispatcher", "bridge"):
        running_stack.end(child)
    running_stack.admin("reset", {"tasks": True})
    scene.redis.flushdb()  # runs whose tasks were just stopped would be tried again, in the next test


def test_a_run_whose_events_are_lost_ends_all_the_same(scene: Scene) -> None:
    scene.faults(events={"lose_probability": 1.0})
    scene.dispatcher()
    scene.bridge()
    good, bad = (scene.launcher.enqueue(STUB.model_copy(update={"command": ("0", code)})) for code in ("0", "3"))
    assert good.get(timeout=TIMEOUT)["exit_code"] == 0
    with pytest.raises(RunFailed, match="exit code 3"):
        bad.get(timeout=TIMEOUT)
    assert scene.stack.admin("stats")["calls"]["DescribeTasks"] >= 1


def test_runs_whose_events_arrive_are_not_described(scene: Scene) -> None:
    scene.dispatcher(DISPATCH__LEASE_SECONDS="60")
    # A sweep may come between RunTask's answer and its note in the ledger, and describes what it does not know.
    scene.bridge(RECONCILER__SILENCE=str(TIMEOUT), RECONCILER__SWEEP_INTERVAL="3600")
    fan_out(STUB, [{}] * 20, launcher=scene.launcher).get(timeout=TIMEOUT)
    calls = scene.stack.admin("stats")["calls"]
    assert calls["RunTask"] == 20
    assert "DescribeTasks" not in calls


def test_a_launch_that_a_dying_dispatcher_took_along_is_published_again(scene: Scene) -> None:
    run = scene.die_while_popping(scene.dispatcher, LAUNCH_QUEUE, lambda: scene.launcher.enqueue(STUB))
    scene.dispatcher()
    scene.bridge()
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    assert run.entry().attempt == 1


def test_plain_celery_loses_what_a_dying_worker_took_along(scene: Scene) -> None:
    """What the test before this one is about: the broker alone cannot bring the message back, late acks or not."""
    app = Celery("plain", broker=scene.stack.redis_url, backend=scene.stack.redis_url, set_as_current=False)
    command = [sys.executable, "-c", PLAIN_WORKER, scene.stack.redis_url]

    def worker() -> Child:
        return Child("plain", command, log=scene.stack.log_dir / "plain.log")

    result = scene.die_while_popping(worker, "plain", lambda: app.send_task("plain.task", queue="plain"))
    second = worker()
    try:
        later = app.send_task("plain.task", queue="plain")
        assert later.get(timeout=TIMEOUT) == "done"
        assert result.state == "PENDING"
        eventually(lambda: not scene.redis.exists("plain", "unacked"), "nothing is left that could bring it back")
    finally:
        second.kill()


def test_a_fan_out_that_a_dying_dispatcher_took_along_is_published_again(scene: Scene) -> None:
    def publish() -> BatchHandle:
        return fan_out(STUB, [{}] * 3, launcher=scene.launcher)

    batch = scene.die_while_popping(scene.dispatcher, FAN_OUT_QUEUE, publish)
    scene.dispatcher()
    scene.bridge()
    assert len(batch.get(timeout=TIMEOUT)) == 3


def test_a_completion_that_a_dying_dispatcher_took_along_is_sent_again(scene: Scene) -> None:
    first = scene.dispatcher()
    run = scene.launcher.enqueue(STUB)
    eventually(lambda: run.entry().task_arn, "it is launched")
    kill(first)

    def complete() -> None:
        outcome = {"kind": "succeeded", "summary": "exited with 0", "exit_code": 0}
        scene.launcher.publisher.runs.complete(AttemptId(run.run_id, 1), {"outcome": outcome})

    scene.die_while_popping(scene.dispatcher, LAUNCH_QUEUE, complete)
    scene.dispatcher()
    scene.bridge()
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0


def test_a_task_whose_launch_was_never_answered_is_stopped_when_its_run_is_cancelled(scene: Scene) -> None:
    scene.faults(operations={"RunTask": {"drop_answer_probability": 1.0}}, events={"lose_probability": 1.0})
    scene.dispatcher(DISPATCH__THROTTLE_DELAY="60")
    run = scene.launcher.enqueue(LONG)
    eventually(lambda: run.entry().refusal, "no answer came")
    started_by = AttemptId(run.run_id, 1).started_by
    assert len(scene.running(started_by)) == 1
    run.cancel()
    with pytest.raises(RunCancelled):
        run.get(timeout=TIMEOUT)
    scene.bridge()
    eventually(lambda: not scene.running(started_by), "the task is stopped")


def run_again(scene: Scene, task: str, started_by: str) -> None:
    """Start a task like another one, which nobody knows of."""
    definition = scene.ecs.describe_tasks(cluster="dagy", tasks=[task])["tasks"][0]["taskDefinitionArn"]
    scene.ecs.run_task(
        cluster="dagy",
        taskDefinition=definition,
        startedBy=started_by,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}},
        overrides={"containerOverrides": [{"name": "worker", "command": ["3600", "0"]}]},
    )


def test_a_run_in_direct_mode_is_no_orphan_whatever_the_org_of_the_bridge(scene: Scene) -> None:
    scene.dispatcher()
    # In a process of its own: direct mode binds the record's tables for a whole process.
    command = [sys.executable, "-c", LAUNCHED_DIRECTLY]
    run_id = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    [task] = scene.running(AttemptId(run_id, 1).started_by)
    stranger = AttemptId(new_id(), 1).started_by
    run_again(scene, task, stranger)
    scene.bridge(RECONCILER__STOP_ORPHANS="true", RECORDS__ORG_ID="another")
    eventually(lambda: not scene.running(stranger), "the sweep has stopped an orphan")
    assert scene.running(AttemptId(run_id, 1).started_by) == [task]


@pytest.mark.parametrize("stop", [True, False])
def test_a_task_of_ours_that_no_run_owns_is_told_and_stopped_if_asked(scene: Scene, stop: bool) -> None:
    started_by = AttemptId(new_id(), 1).started_by
    run = scene.launcher.enqueue(LONG)
    dispatcher = scene.dispatcher()
    until_phase(run, Phase.SUBMITTED)
    [own] = scene.running(AttemptId(run.run_id, 1).started_by)
    for owner in (started_by, "somebody-else"):
        run_again(scene, own, owner)
    bridge = scene.bridge(RECONCILER__STOP_ORPHANS=str(stop).lower())
    [orphan] = scene.running(started_by)
    eventually(lambda: orphan in bridge.log.read_text(), "the orphan is told")
    if stop:
        eventually(lambda: not scene.running(started_by), "the orphan is stopped")
    assert bool(scene.running(started_by)) is not stop
    assert scene.running("somebody-else")
    assert scene.running(AttemptId(run.run_id, 1).started_by)
    assert dispatcher.poll() is None


def test_a_task_that_ecs_has_forgotten_fails_its_run_as_lost_unless_it_left_a_report(scene: Scene) -> None:
    scene.faults(events={"lose_probability": 1.0})
    scene.dispatcher()
    container = scene.launcher.enqueue(STUB)
    flow = scene.launcher.enqueue(flow_name="echo", org_id=ORG, parameters={"value": "done before it was forgotten"})

    def has_ended(run_id: str) -> bool:
        query = {"cluster": "dagy", "startedBy": AttemptId(run_id, 1).started_by, "desiredStatus": "STOPPED"}
        arns = scene.ecs.list_tasks(**query)["taskArns"]  # type: ignore[arg-type]
        tasks = scene.ecs.describe_tasks(cluster="dagy", tasks=arns)["tasks"] if arns else []
        return any(task["lastStatus"] == "STOPPED" for task in tasks)

    for run in (container, flow):
        eventually(lambda run=run: has_ended(run.run_id), "its task has ended unheard")
        eventually(lambda run=run: run.entry().task_arn, "its launch is noted")
    scene.stack.admin("reset", {"tasks": True})
    scene.bridge()
    with pytest.raises(RunFailed, match="no longer knows the task") as caught:
        container.get(timeout=TIMEOUT)
    assert caught.value.outcome["kind"] == "lost"
    assert flow.get(timeout=TIMEOUT) == "done before it was forgotten"


def test_a_task_that_ecs_cannot_find_yet_is_not_lost(scene: Scene) -> None:
    scene.faults(tasks={"invisible_seconds": 4.0}, events={"lose_probability": 1.0})
    scene.dispatcher()
    scene.bridge(RECONCILER__MISSING_GRACE="30")
    assert scene.launcher.enqueue(STUB).get(timeout=TIMEOUT)["exit_code"] == 0


def test_a_task_that_does_not_start_in_time_is_stopped(scene: Scene) -> None:
    scene.faults(tasks={"slow_start_next": 1, "slow_start_seconds": 3600.0})
    scene.dispatcher()
    scene.bridge(DISPATCH__START_TIMEOUT="2")
    run = scene.launcher.enqueue(STUB)
    with pytest.raises(RunFailed, match="did not start within the start timeout") as caught:
        run.get(timeout=TIMEOUT)
    assert caught.value.outcome["kind"] == "timed_out"
    assert not scene.running(AttemptId(run.run_id, 1).started_by)
