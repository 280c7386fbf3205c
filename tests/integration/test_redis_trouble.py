"""Trouble with Redis in mid-batch: it restarts, freezes, drops its connections, is full. Nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import _state

from dagy_queue import BatchHandle, ContainerRequest, DagLauncher, Phase, RunHandle, fan_out, launch_sig
from dagy_queue.aws.clients import AwsClients
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ids import AttemptId, shard_id
from dagy_queue.local.processes import Child
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.local.stack import LocalStack
from dagy_queue.messaging.app import default_app
from tests.integration.conftest import ORG, TIMEOUT, forget_settings
from tests.integration.waiting import eventually

STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
SHARDS = 60
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
    """A stack with one dispatcher and one bridge, and what a test does to its Redis."""

    def __init__(self, stack: LocalStack, **environment: str) -> None:
        self.stack = stack
        self.launcher = DagLauncher(
            stack.settings(redis={"url": stack.redis_url, "socket_timeout": 1.0, **_results(environment)})
        )
        self.ecs = AwsClients(stack.settings().aws).ecs_control
        self._said = {name: _size(stack.log_dir / f"{name}.log") for name in ("dispatcher", "bridge")}
        self.processes = [self._spawn(name, environment) for name in ("dispatcher", "bridge")]
        self.redis = redis.Redis.from_url(stack.redis_url, decode_responses=True)

    def _spawn(self, name: str, environment: dict[str, str]) -> Child:
        return self.stack.spawn(name, label=name, environment={**QUICK, **environment})

    def batch(self) -> BatchHandle:
        return fan_out(STUB, [{}] * SHARDS, launcher=self.launcher)

    def until_under_way(self) -> None:
        eventually(lambda: self.ended() >= 10, "some shards have ended")

    def log(self, number: int = 0) -> str:
        """What a process of this scene has said; those of earlier ones wrote to the same file."""
        child = self.processes[number]
        return child.log.read_bytes()[self._said[child.name] :].decode()

    def ended(self) -> int:
        counts = [self.redis.hgetall(key) for key in self.redis.scan_iter("dagy:batch:*:counts")]
        return sum(int(each.get(Phase.SUCCEEDED, 0)) for each in counts)

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
    with (
        LocalStack(data_dir=tmp_path_factory.mktemp("trouble"), simulate=True) as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in running.environment.items():
            patch.setenv(name, value)
        forget_settings()
        patch.setattr(_state._tls, "current_app", default_app(), raising=False)
        yield running
    forget_settings()


@pytest.fixture
def scene(running_stack: LocalStack) -> Iterator[Scene]:
    yield Scene(running_stack)
    for child in ("dispatcher", "bridge"):
        running_stack.end(child)
    client = redis.Redis.from_url(running_stack.redis_url)
    client.config_set("maxmemory", 0)
    client.flushall()


def test_redis_is_killed_and_restarted_in_mid_batch(scene: Scene) -> None:
    batch = scene.batch()
    scene.until_under_way()
    scene.stack.redis.kill()
    scene.stack.redis.restart()
    scene.all_is_well(batch)


def test_every_connection_is_dropped_in_mid_batch(scene: Scene) -> None:
    batch = scene.batch()
    for ended in (5, 20, 40):
        eventually(lambda ended=ended: scene.ended() >= ended, f"{ended} shards have ended")
        for kind in ("normal", "pubsub"):
            scene.redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    scene.all_is_well(batch)


def test_a_connection_that_is_lost_with_messages_in_hand_is_made_anew(scene: Scene) -> None:
    eventually(lambda: "ready" in scene.log(), "the dispatcher is ready")
    later = launch_sig(STUB).apply_async(countdown=3600)
    eventually(lambda: scene.redis.exists("unacked"), "the dispatcher holds its message")
    scene.stack.redis.kill()
    eventually(lambda: "Connection to broker lost" in scene.log(), "the dispatcher has seen it")
    scene.stack.redis.restart()
    scene.all_is_well(scene.batch())
    RunHandle(later.id).cancel()


def test_redis_freezes_for_longer_than_a_call_may_take(scene: Scene) -> None:
    batch = scene.batch()
    scene.until_under_way()
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
    scene.until_under_way()
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
    dispatcher, _ = scene.processes
    eventually(lambda: "ready" in scene.log(), "the dispatcher is ready")
    scene.redis.config_set("maxmemory", 1)
    dispatcher.terminate()
    eventually(lambda: dispatcher.poll() is not None, "it has ended")
    assert dispatcher.poll() == 0
    scene.redis.config_set("maxmemory", 0)


@pytest.fixture
def results() -> Iterator[RedisServer]:
    """A Redis of the results' own."""
    server = RedisServer()
    server.start()
    yield server
    server.stop()


def test_a_result_is_stored_when_the_redis_of_results_is_back(running_stack: LocalStack, results: RedisServer) -> None:
    scene = Scene(running_stack, DAGY_QUEUE__REDIS__RESULT_URL=results.url)
    run = scene.launcher.enqueue(STUB.model_copy(update={"command": ("1", "0")}))
    eventually(lambda: run.entry().task_arn, "it is launched")
    results.kill()
    # More of them than the dispatcher has threads: none may be lost to it.
    more = [scene.launcher.enqueue(STUB) for _ in range(6)]
    eventually(lambda: scene.log().count("Failed operation") >= 4, "the dispatcher cannot store")
    results.restart()
    assert [each.get(timeout=TIMEOUT)["exit_code"] for each in (run, *more)] == [0] * 7
    scene.all_is_well(scene.batch())
