"""Cancelling, in every phase of a run and every way there is: it ends as revoked, once, and its ECS task is stopped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery

from dagy_queue import ContainerRequest, DagLauncher, Phase, RunCancelled, RunHandle, RunStatus, fan_out, launch_sig
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ids import AttemptId, shard_id
from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from dagy_queue.messaging.names import LAUNCH_QUEUE
from tests.integration.conftest import ORG, TIMEOUT, stack_of_its_own
from tests.integration.waiting import eventually, until_phase

STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
LONG = STUB.model_copy(update={"command": ("3600", "0")})
RETRIED = STUB.model_copy(update={"command": ("0", "3"), "max_retries": 3, "retry_delay": 3600.0})
GOES_ON = {"submitting", "running", "stopped"}
"""Phases in which Celery's ``revoke`` without ``terminate`` leaves a task alone, as it does one that has started."""


class Scene:
    """A stack, and runs brought to a phase."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.launcher = DagLauncher(stack.settings())
        self.ecs = AwsClients(stack.settings().aws).ecs_control
        self.redis = redis.Redis.from_url(stack.redis_url, decode_responses=True)
        self.elsewhere = Celery("elsewhere", broker=stack.redis_url, set_as_current=False)
        """An application's own app: what Flower and ``AsyncResult.revoke`` send with one, any Celery sends."""

    def dispatcher(self, **variables: str) -> Child:
        environment = {f"DAGY_QUEUE__{name}": value for name, value in variables.items()}
        log = self.stack.log_dir / "dispatcher.log"
        said = log.stat().st_size if log.exists() else 0
        child = self.stack.spawn("dispatcher", label="dispatcher", environment=environment)
        eventually(lambda: b" ready" in log.read_bytes()[said:], "the dispatcher is ready")
        return child

    def bridge(self) -> Child:
        return self.stack.spawn("bridge", label="bridge", environment={"DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "1"})

    def fault(self, **run_task: Any) -> None:
        self.stack.admin("faults", {"operations": {"RunTask": run_task}})

    def tasks_of(self, run: RunHandle, status: str = "RUNNING") -> list[str]:
        attempts = [AttemptId(run.run_id, number).started_by for number in (1, 2)]
        query = {"cluster": "dagy", "desiredStatus": status}
        return [arn for each in attempts for arn in self.ecs.list_tasks(**query, startedBy=each)["taskArns"]]  # type: ignore[arg-type]

    def is_revoked_once(self, run: RunHandle, ends: int = 1) -> None:
        """It and its attempts have as many ends as there may be."""
        with pytest.raises(RunCancelled):
            run.get(timeout=TIMEOUT)
        eventually(lambda: run.entry().phase is Phase.CANCELLED, f"{run.run_id} is over in the ledger")
        assert run.status() is RunStatus.CANCELLED
        assert self.tasks_of(run) == []
        assert int(self.redis.hget(f"dagy:run:{run.run_id}", "resumes") or 0) <= ends


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with stack_of_its_own(tmp_path_factory.mktemp("cancelling")) as running:
        yield running


@pytest.fixture
def scene(running_stack: LocalStack) -> Iterator[Scene]:
    scene = Scene(running_stack)
    yield scene
    running_stack.admin("release", {})
    for child in running_stack.children:
        child.kill()
        running_stack.end(child.name)
    running_stack.admin("reset", {"tasks": True})
    scene.redis.flushall()


Ways = dict[str, Callable[[RunHandle], Any]]


def ways(scene: Scene) -> Ways:
    """How a run can be cancelled; by name."""
    return {
        "run.cancel": lambda run: run.cancel(),
        "result.revoke(terminate)": lambda run: run.result.revoke(terminate=True),
        "result.revoke": lambda run: run.result.revoke(),
        "another app's revoke(terminate)": lambda run: scene.elsewhere.control.revoke(run.run_id, terminate=True),
        "another app's revoke": lambda run: scene.elsewhere.control.revoke(run.run_id),
    }


def queued(scene: Scene, count: int) -> list[RunHandle]:
    """Their dispatcher is not there yet."""
    return [scene.launcher.enqueue(STUB) for _ in range(count)]


def counting_down(scene: Scene, count: int) -> list[RunHandle]:
    """A dispatcher has their messages, and holds them for an hour."""
    scene.dispatcher(DISPATCH__CONCURRENCY="16")
    runs = [RunHandle(launch_sig(STUB).apply_async(countdown=3600).id) for _ in range(count)]
    eventually(lambda: scene.redis.hlen("unacked") == count, "the dispatcher holds them")
    return runs


def held(scene: Scene, count: int) -> list[RunHandle]:
    """There is no room for them in the cluster."""
    scene.dispatcher(LIMITS__MAX_TASKS="1")
    scene.bridge()
    until_phase(scene.launcher.enqueue(LONG), Phase.SUBMITTED)
    return _in_phase([scene.launcher.enqueue(STUB) for _ in range(count)], Phase.HELD)


def submitting(scene: Scene, count: int) -> list[RunHandle]:
    """ECS has their tasks, and has not answered. Nobody is there to hear of them by events."""
    scene.fault(hold=True)
    scene.dispatcher()
    runs = [scene.launcher.enqueue(LONG) for _ in range(count)]
    for run in runs:
        eventually(lambda run=run: scene.tasks_of(run), "ECS has the task")
    return _in_phase(runs, Phase.SUBMITTING)


def running(scene: Scene, count: int) -> list[RunHandle]:
    scene.dispatcher()
    scene.bridge()
    return _in_phase([scene.launcher.enqueue(LONG) for _ in range(count)], Phase.RUNNING)


def retrying(scene: Scene, count: int) -> list[RunHandle]:
    """Their first attempt failed; the second is to begin in an hour."""
    scene.dispatcher()
    scene.bridge()
    return _in_phase([scene.launcher.enqueue(RETRIED) for _ in range(count)], Phase.RETRYING)


def stopped(scene: Scene, count: int) -> list[RunHandle]:
    """Their first attempt failed, and no dispatcher has concluded that."""
    dispatcher = scene.dispatcher()
    runs = [scene.launcher.enqueue(RETRIED) for _ in range(count)]
    for run in runs:
        eventually(lambda run=run: run.entry().task_arn, "it is launched")
    os.kill(dispatcher.pid, signal.SIGKILL)
    eventually(lambda: dispatcher.poll() is not None, "the dispatcher is dead")
    scene.bridge()
    return _in_phase(runs, Phase.STOPPED)


def _in_phase(runs: list[RunHandle], phase: Phase) -> list[RunHandle]:
    for run in runs:
        until_phase(run, phase)
    return runs


WITHOUT_DISPATCHER = {"queued", "stopped"}
"""Phases in which no dispatcher listens: a broadcast of another app's is lost, as it is with Celery's own tasks."""


@pytest.mark.parametrize("phase", [queued, counting_down, held, submitting, running, retrying, stopped])
def test_a_run_is_cancelled_in_every_phase_and_every_way(
    scene: Scene, phase: Callable[[Scene, int], list[RunHandle]]
) -> None:
    name = phase.__name__
    possible = {way: do for way, do in ways(scene).items() if name not in WITHOUT_DISPATCHER or "another" not in way}
    runs = dict(zip(possible, phase(scene, len(possible)), strict=True))
    for way, run in runs.items():
        possible[way](run)
        possible[way](run)  # again changes nothing
    gone_on = {way for way in runs if name in GOES_ON and not (way == "run.cancel" or "terminate" in way)}
    if name in WITHOUT_DISPATCHER:
        scene.dispatcher()
    if name == "submitting":
        for run in (runs["run.cancel"], runs["another app's revoke(terminate)"]):
            eventually(lambda run=run: scene.redis.hget(f"dagy:run:{run.run_id}", "cancel"), "the wish is heard")
        scene.stack.admin("release", {})
        scene.bridge()
    for way, run in runs.items():
        if way not in gone_on:
            scene.is_revoked_once(run, ends=2 if name == "retrying" else 1)
    for way in gone_on:
        if name == "stopped":
            until_phase(runs[way], Phase.RETRYING)
        else:
            assert len(scene.tasks_of(runs[way])) == 1
            until_phase(runs[way], Phase.RUNNING)


def test_the_shards_of_a_batch_are_cancelled_whatever_they_do(scene: Scene) -> None:
    scene.dispatcher(LIMITS__MAX_TASKS="2")
    scene.bridge()
    batch = fan_out(LONG, [{}] * 5, launcher=scene.launcher)
    shards = [RunHandle(shard_id(batch.batch_id, number), scene.launcher.publisher) for number in range(5)]
    eventually(lambda: batch.progress().by_phase.get(Phase.RUNNING) == 2, "two run, three are held")
    batch.cancel()
    for shard in shards:
        scene.is_revoked_once(shard)


def test_a_batch_is_cancelled_before_it_is_expanded(scene: Scene) -> None:
    batch = fan_out(STUB, [{}] * 3, launcher=scene.launcher)
    batch.cancel()
    scene.dispatcher()
    scene.bridge()
    for number in range(3):
        scene.is_revoked_once(batch.shard(number))


def test_a_cancel_that_races_the_launch_or_the_completion_leaves_one_end_and_no_task(scene: Scene) -> None:
    scene.dispatcher()
    scene.bridge()
    runs = [scene.launcher.enqueue(STUB) for _ in range(60)]
    for position, run in enumerate(runs):
        if position % 2:
            eventually(lambda run=run: run.entry().phase is not Phase.QUEUED, "it is on its way")
        run.cancel()
    for run in runs:
        eventually(lambda run=run: run.entry().phase.status.is_final, "it is over")
        # What had succeeded before the wish came is a success.
        state = {Phase.SUCCEEDED: "SUCCESS", Phase.CANCELLED: "REVOKED"}[run.entry().phase]
        assert run.result.state == state
        assert scene.tasks_of(run) == []
        assert len(scene.tasks_of(run, "STOPPED")) <= 1


def test_a_message_that_expires_before_its_first_pass_ends_its_run(scene: Scene) -> None:
    run = RunHandle(launch_sig(STUB).apply_async(expires=0.1).id)
    assert run.entry().phase is Phase.QUEUED
    published = run.entry().created_at
    eventually(lambda: datetime.now(UTC) - published > timedelta(seconds=0.2), "its time is over")
    scene.dispatcher()
    scene.is_revoked_once(run)
    outcome = run.outcome()
    assert outcome is not None
    assert outcome.summary == "expired before a dispatcher took it"


def test_a_first_message_that_comes_again_after_its_expiry_leaves_its_run_alone(scene: Scene) -> None:
    scene.dispatcher()
    run = RunHandle(launch_sig(STUB).apply_async(expires=1, countdown=0.2).id)
    message = scene.redis.hget(f"dagy:run:{run.run_id}", "published")
    assert isinstance(message, str)
    expires = datetime.fromisoformat(json.loads(message)["headers"]["expires"])
    eventually(lambda: run.entry().task_arn, "it is launched")
    eventually(lambda: datetime.now(UTC) > expires, "its message has expired")
    scene.redis.lpush(LAUNCH_QUEUE, message)
    eventually(lambda: not scene.redis.llen(LAUNCH_QUEUE) and not scene.redis.hlen("unacked"), "it came again")
    assert run.result.state == "PARKED"
    scene.bridge()
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
