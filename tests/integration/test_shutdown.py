"""Dispatchers and bridges that are told to stop: what is in hand is finished or handed back, and nothing waits."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from dagy_queue import ContainerRequest, DagLauncher, Phase, fan_out, launch_sig
from dagy_queue.aws.clients import AwsClients
from dagy_queue.local.processes import Child
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import ORG, TIMEOUT, stack_of_its_own
from tests.integration.waiting import eventually

STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
SHARDS = 300
LONG_LEASE = "600"
"""Whatever waited for the end of a lease would fail its test."""


class Scene:
    """A stack whose processes a test stops and starts."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.launcher = DagLauncher(stack.settings())
        self.ecs = AwsClients(stack.settings().aws).ecs_control
        self.redis = redis.Redis.from_url(stack.redis_url, decode_responses=True)

    def dispatcher(self, label: str = "dispatcher", **variables: str) -> Child:
        """Start a dispatcher, and wait until it works."""
        given = {"DISPATCH__LEASE_SECONDS": LONG_LEASE, "DISPATCH__CONCURRENCY": "4", **variables}
        environment = {f"DAGY_QUEUE__{name}": value for name, value in given.items()}
        log = self.stack.log_dir / f"{label}.log"
        said = log.stat().st_size if log.exists() else 0
        child = self.stack.spawn("dispatcher", label=label, environment=environment)
        eventually(lambda: b" ready" in log.read_bytes()[said:], f"{label} is ready")
        return child

    def bridge(self, label: str = "bridge") -> Child:
        return self.stack.spawn("bridge", label=label, environment={"DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "1"})

    def fault(self, **run_task: Any) -> None:
        self.stack.admin("faults", {"operations": {"RunTask": run_task}})

    def tasks(self) -> Counter[str]:
        """How many tasks ECS has had of each attempt."""
        arns: list[str] = []
        for status in ("RUNNING", "STOPPED"):
            pages = self.ecs.get_paginator("list_tasks").paginate(cluster="dagy", desiredStatus=status)  # type: ignore[arg-type]
            arns += [arn for page in pages for arn in page["taskArns"]]
        found: Counter[str] = Counter()
        for first in range(0, len(arns), 100):
            tasks = self.ecs.describe_tasks(cluster="dagy", tasks=arns[first : first + 100])["tasks"]
            found.update(task["startedBy"] for task in tasks)
        return found

    def called(self) -> int:
        """How many calls of RunTask have arrived."""
        return int(self.stack.admin("stats")["calls"].get("RunTask", 0))


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with stack_of_its_own(tmp_path_factory.mktemp("shutdown")) as running:
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


def ended(child: Child) -> int | None:
    eventually(lambda: child.poll() is not None, f"{child.name} has ended")
    return child.poll()


@pytest.mark.parametrize("send", ["SIGINT", "SIGTERM twice, to its group"])
def test_a_dispatcher_that_is_told_to_stop_finishes_its_launch_and_exits_with_0(scene: Scene, send: str) -> None:
    scene.fault(delay_after=0.5)
    dispatcher = scene.dispatcher()
    run = scene.launcher.enqueue(STUB)
    eventually(scene.called, "the call is under way")
    if send == "SIGINT":
        os.kill(dispatcher.pid, signal.SIGINT)
    else:
        os.killpg(dispatcher.pid, signal.SIGTERM)
        os.killpg(dispatcher.pid, signal.SIGTERM)
    assert ended(dispatcher) == 0
    assert run.entry().task_arn
    assert run.entry().phase is Phase.SUBMITTED


def test_a_launch_that_hangs_is_handed_back_when_the_time_is_over(scene: Scene) -> None:
    scene.fault(hold=True)
    hanging = scene.dispatcher(DISPATCH__STOP_SECONDS="2")
    run = scene.launcher.enqueue(STUB)
    eventually(scene.tasks, "ECS has created the task, and does not answer")
    assert run.entry().phase is Phase.SUBMITTING
    hanging.terminate()
    assert ended(hanging) == 0
    assert run.entry().phase is Phase.HELD
    scene.stack.admin("release", {})
    scene.fault(hold=False)
    scene.dispatcher()
    scene.bridge()
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    assert set(scene.tasks().values()) == {1}


def test_a_message_that_waits_for_its_time_is_handed_back(scene: Scene) -> None:
    first = scene.dispatcher()
    result = launch_sig(STUB).apply_async(countdown=3)
    eventually(lambda: scene.redis.exists("unacked"), "the dispatcher holds it")
    first.terminate()
    assert ended(first) == 0
    assert not scene.redis.exists("unacked")
    scene.dispatcher()
    scene.bridge()
    assert result.get(timeout=TIMEOUT)["exit_code"] == 0


def test_a_pass_that_hangs_hands_its_message_back(scene: Scene) -> None:
    results = RedisServer()
    results.start()
    where = {"REDIS__RESULT_URL": results.url, "DISPATCH__STOP_SECONDS": "2"}
    launcher = DagLauncher(scene.stack.settings(redis={"url": scene.stack.redis_url, "result_url": results.url}))
    try:
        first = scene.dispatcher(**where)
        run = launcher.enqueue(STUB)
        eventually(lambda: run.entry().task_arn, "it is launched")
        results.kill()
        scene.bridge()
        eventually(lambda: "Failed operation" in first.log.read_text(), "its result cannot be stored")
        first.terminate()
        assert ended(first) == 0
        assert not scene.redis.exists("unacked")
        results.restart()
        scene.dispatcher(**where)
        assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    finally:
        results.stop()


def test_everything_is_restarted_twice_in_mid_batch(scene: Scene) -> None:
    limits = {"LIMITS__RUN_TASK_RATE": "25", "LIMITS__RUN_TASK_BURST": "5"}
    children = {f"dispatcher-{n}": scene.dispatcher(f"dispatcher-{n}", **limits) for n in (1, 2)}
    children |= {f"bridge-{n}": scene.bridge(f"bridge-{n}") for n in (1, 2)}
    batch = fan_out(STUB, [{}] * SHARDS, launcher=scene.launcher)
    eventually(scene.called, "the batch is under way")
    for label in [*children, *children]:
        children[label].terminate()
        assert ended(children[label]) == 0
        is_dispatcher = label.startswith("dispatcher")
        children[label] = scene.dispatcher(label, **limits) if is_dispatcher else scene.bridge(label)
    assert [result["exit_code"] for result in batch.get(timeout=TIMEOUT)] == [0] * SHARDS
    started = scene.tasks()
    assert len(started) == SHARDS
    assert set(started.values()) == {1}
