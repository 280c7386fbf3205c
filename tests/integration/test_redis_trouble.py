"""Trouble with Redis in mid-batch: it restarts, freezes, drops its connections, is full. Nothing is lost."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from dagy_queue import BatchHandle, ContainerRequest, DagLauncher, Phase, RunHandle, fan_out, launch_sig
from dagy_queue.aws.clients import AwsClients
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ids import AttemptId, shard_id
from dagy_queue.local.processes import Child
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.local.stack import LocalStack
from dagy_queue.messaging.names import LAUNCH_QUEUE
from tests.integration.conftest import ORG, TIMEOUT, stack_of_its_own
from tests.integration.waiting import eventually

STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
SHARDS = 60
PROCESSES = ("dispatcher", "bridge")
QUICK = {
    "DAGY_QUEUE__DISPATCH__LEASE_SECONDS": "5",
    "DAGY_QUEUE__DISPATCH__CONCURRENCY": "4",
    "DAGY_QUEUE__REDIS__SOCKET_TIMEOUT": "1",
    "DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "1",
    # An event that cannot be told to Redis comes again after this.
    "DAGY_QUEUE__BRIDGE__VISIBILITY_TIMEOUT": "2",
    "DAGY_QUEUE__RECONCILER__INTERVAL": "0.5",
    "DAGY_QUEUE__RECONCILER__MESSAGE_PATIENCE": "2",
}


class Scene:
    """A stack with one dispatcher and one bridge, and what a test does to its Redis.

    Most of a test's time is their start, so the tests share them: what one did to them, the next must find mended.
    """

    def __init__(self, stack: LocalStack, **environment: str) -> None:
        self.stack = stack
        self.launcher = DagLauncher(
            stack.settings(redis={"url": stack.redis_url, "socket_timeout": 1.0, **_results(environment)})
        )
        self.ecs = AwsClients(stack.settings().aws).ecs_control
        self.redis = redis.Redis.from_url(stack.redis_url, decode_responses=True)
        self._environment = {**QUICK, **environment}
        self.processes: list[Child] = []
        self.begin()

    def begin(self) -> None:
        """Start what does not run, and forget what was said."""
        self._said = {name: _size(self.stack.log_dir / f"{name}.log") for name in PROCESSES}
        if [child.poll() for child in self.processes] != [None] * len(PROCESSES):
            self.end()
            self.processes = [self.stack.spawn(n, label=n, environment=self._environment) for n in PROCESSES]

    def end(self) -> None:
        """End both processes, at once."""
        with ThreadPoolExecutor(len(PROCESSES)) as threads:
            list(threads.map(self.stack.end, [child.name for child in self.processes]))
        self.processes = []

    def batch(self) -> BatchHandle:
        return fan_out(STUB, [{}] * SHARDS, launcher=self.launcher)

    def until_under_way(self, batch: BatchHandle) -> None:
        eventually(lambda: self.ended(batch) >= 10, "some shards have ended")

    def log(self, number: int = 0) -> str:
        """What a process has said since the test began; those of earlier ones wrote to the same file."""
        child = self.processes[number]
        return child.log.read_bytes()[self._said[child.name] :].decode()

    def holds(self, task_id: str) -> bool:
        """Tell whether a dispatcher has the message of a task, and has not acknowledged it."""
        return any(task_id in held for held in self.redis.hvals("unacked"))

    def ended(self, batch: BatchHandle) -> int:
        return int(self.redis.hget(f"dagy:batch:{batch.batch_id}:counts", Phase.SUCCEEDED) or 0)

    def all_is_well(self, batch: BatchHandle) -> None:
        """Every shard has its result, from one task, and every process goes on."""
        results = batch.get(timeout=TIMEOUT)
        assert [result["exit_code"] for result in results] == [0] * SHARDS
        for shard in range(0, SHARDS, 7):
            assert len(self.tasks_of(shard_id(batch.batch_id, shard))) == 1
        assert [child.poll() for child in self.processes] == [None, None]
        # No thread of the dispatcher is lost, nor the place of a message: more than it has of both go through.
        for run in [self.launcher.enqueue(STUB) for _ in range(6)]:
            assert run.get(timeout=TIMEOUT)["exit_code"] == 0

    def tasks_of(self, run_id: str) -> list[str]:
        query = {"cluster": "dagy", "startedBy": AttemptId(run_id, 1).started_by}
        statuses = ("RUNNING", "STOPPED")
        return [arn for s in statuses for arn in self.ecs.list_tasks(**query, desiredStatus=s)["taskArns"]]  # type: ignore[arg-type]


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _results(environment: dict[str, str]) -> dict[str, str]:
    url = environment.get("DAGY_QUEUE__REDIS__RESULT_URL")
    return {"result_url": url} if url else {}


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with stack_of_its_own(tmp_path_factory.mktemp("trouble")) as running:
        yield running


@pytest.fixture(scope="module")
def shared(running_stack: LocalStack) -> Iterator[Scene]:
    scene = Scene(running_stack)
    yield scene
    scene.end()


@pytest.fixture
def scene(shared: Scene) -> Iterator[Scene]:
    shared.begin()
    yield shared
    shared.redis.config_set("maxmemory", 0)


def test_redis_is_killed_and_restarted_in_mid_batch(scene: Scene) -> None:
    batch = scene.batch()
    scene.until_under_way(batch)
    scene.stack.redis.kill()
    scene.stack.redis.restart()
    scene.all_is_well(batch)


def test_every_connection_is_dropped_in_mid_batch(scene: Scene) -> None:
    batch = scene.batch()
    for ended in (5, 20, 40):
        eventually(lambda ended=ended: scene.ended(batch) >= ended, f"{ended} shards have ended")
        for kind in ("normal", "pubsub"):
            scene.redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    scene.all_is_well(batch)


def test_a_connection_that_is_lost_with_messages_in_hand_is_made_anew(scene: Scene) -> None:
    later = launch_sig(STUB).apply_async(countdown=3600)
    eventually(lambda: scene.holds(later.id), "the dispatcher holds its message")
    scene.stack.redis.kill()
    eventually(lambda: "Connection to broker lost" in scene.log(), "the dispatcher has seen it")
    scene.stack.redis.restart()
    scene.all_is_well(scene.batch())
    RunHandle(later.id).cancel()


def test_redis_freezes_for_longer_than_a_call_may_take(scene: Scene) -> None:
    batch = scene.batch()
    scene.until_under_way(batch)
    server = scene.stack.redis.child
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(RedisUnavailable):  # after several timeouts
            scene.launcher.enqueue(STUB, run_id="frozen")
    finally:
        os.kill(server.pid, signal.SIGCONT)
    scene.all_is_well(batch)


def test_a_full_redis_is_waited_for(scene: Scene) -> None:
    batch = scene.batch()
    scene.until_under_way(batch)
    dispatcher, _ = scene.processes
    # A message that is popped cannot be noted as unacknowledged then: Celery's consumer fails on that.
    os.kill(dispatcher.pid, signal.SIGSTOP)
    run = scene.launcher.enqueue(STUB)
    scene.redis.config_set("maxmemory", 1)
    os.kill(dispatcher.pid, signal.SIGCONT)
    eventually(lambda: "OutOfMemory" in scene.log(), "the dispatcher has met it")
    with pytest.raises(RedisUnavailable, match="maxmemory"):
        scene.launcher.enqueue(STUB)
    eventually(lambda: "maxmemory" in scene.log(1), "the bridge has met it")
    scene.redis.config_set("maxmemory", 0)
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    scene.all_is_well(batch)


def test_a_dispatcher_stops_while_redis_is_full(scene: Scene) -> None:
    dispatcher = scene.stack.spawn("dispatcher", label="another", environment=QUICK)
    eventually(lambda: "ready" in dispatcher.log.read_text(), "the dispatcher is ready")
    scene.redis.config_set("maxmemory", 1)
    dispatcher.terminate()
    eventually(lambda: dispatcher.poll() is not None, "it has ended")
    assert dispatcher.poll() == 0


@pytest.fixture
def results() -> Iterator[RedisServer]:
    """A Redis of the results' own."""
    server = RedisServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def apart(shared: Scene, results: RedisServer) -> Iterator[Scene]:
    """Processes that keep results there, in place of those that the tests share."""
    shared.end()
    scene = Scene(shared.stack, DAGY_QUEUE__REDIS__RESULT_URL=results.url)
    yield scene
    scene.end()


def test_a_result_is_stored_when_the_redis_of_results_is_back(apart: Scene, results: RedisServer) -> None:
    scene = apart
    run = scene.launcher.enqueue(STUB.model_copy(update={"command": ("1", "0")}))
    eventually(lambda: run.entry().task_arn, "it is launched")
    results.kill()
    # More of them than the dispatcher has threads: none may be lost to it.
    more = [scene.launcher.enqueue(STUB) for _ in range(6)]
    trouble = re.compile("Failed operation|redis_away")
    eventually(lambda: len(trouble.findall(scene.log())) >= 4, "the dispatcher cannot store")
    results.restart()
    assert [each.get(timeout=TIMEOUT)["exit_code"] for each in (run, *more)] == [0] * 7
    scene.all_is_well(scene.batch())


@pytest.mark.parametrize("junk", ["no JSON", '{"body": "no properties"}', "[]", '{"body": "%", "properties": {}}'])
def test_what_is_no_message_does_not_end_a_dispatcher(scene: Scene, junk: str) -> None:
    scene.redis.lpush(LAUNCH_QUEUE, junk)
    run = scene.launcher.enqueue(STUB)
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    assert [child.poll() for child in scene.processes] == [None, None]
    assert "message_unreadable" in scene.log()
