"""The message of a second pass comes twice at once: one pass concludes the run, and another one if that is dead."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest
import redis
from celery.canvas import Signature

from dagy_queue import CeleryOptions, ContainerRequest, DagLauncher, RunHandle
from dagy_queue.local.processes import Child
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.local.stack import LocalStack
from dagy_queue.messaging.names import LAUNCH_QUEUE
from tests.integration.conftest import ORG, TIMEOUT, stack_of_its_own
from tests.integration.waiting import eventually

STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
LINKS = "links"
"""A queue that nobody listens to: what was sent stays there to be counted."""
LONGEST_PASS = 2
QUICK = {
    "DAGY_QUEUE__REDIS__SOCKET_TIMEOUT": "1",
    "DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "1",
    "DAGY_QUEUE__RECONCILER__INTERVAL": "0.2",
    "DAGY_QUEUE__RECONCILER__MESSAGE_PATIENCE": "30",  # longer than a dispatcher takes to start
    "DAGY_QUEUE__RECONCILER__LONGEST_PASS": str(LONGEST_PASS),
}


class Scene:
    """A run whose second pass hangs: the Redis of results is away."""

    def __init__(self, stack: LocalStack, results: RedisServer) -> None:
        self.stack = stack
        self.results = results
        self.redis = redis.Redis.from_url(stack.redis_url, decode_responses=True)
        self._environment = {**QUICK, "DAGY_QUEUE__REDIS__RESULT_URL": results.url}
        self.dispatcher = self.start("dispatcher")
        self.start("bridge")
        launcher = DagLauncher(stack.settings(redis={"url": stack.redis_url, "result_url": results.url}))
        link = Signature("app.link", options={"queue": LINKS})
        self.run = launcher.enqueue(STUB.model_copy(update={"command": ("1", "0")}), options=CeleryOptions(link=link))
        eventually(lambda: self.run.entry().task_arn, "it is launched")
        results.kill()
        eventually(lambda: self.field("claimed"), "the second pass has begun")
        (held,) = self.redis.hvals("unacked")
        self.message = json.dumps(json.loads(held)[0])

    def start(self, name: str) -> Child:
        return self.stack.spawn(name, label=name, environment=self._environment)

    def links(self) -> int:
        return int(self.redis.llen(LINKS))

    def deliver_again(self) -> None:
        """Give the message back that the pass has not acknowledged, as the broker does when it takes too long."""
        self.redis.lpush(LAUNCH_QUEUE, self.message)
        eventually(lambda: not self.redis.llen(LAUNCH_QUEUE), "the dispatcher has taken it")

    def field(self, name: str) -> int:
        return int(self.redis.hget(f"dagy:run:{self.run.run_id}", name) or 0)


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with stack_of_its_own(tmp_path_factory.mktemp("twice")) as running:
        yield running


@pytest.fixture
def scene(running_stack: LocalStack) -> Iterator[Scene]:
    results = RedisServer()
    results.start()
    yield Scene(running_stack, results)
    for child in ("dispatcher", "bridge"):
        running_stack.end(child)
    redis.Redis.from_url(running_stack.redis_url).flushall()
    results.stop()


def finished(run: RunHandle) -> bool:
    succeeded = bool(run.get(timeout=TIMEOUT)["exit_code"] == 0)
    eventually(lambda: run.entry().phase.status.is_final, "the ledger has its end")
    return succeeded


def test_a_message_that_comes_again_while_it_is_worked_on_changes_nothing(scene: Scene) -> None:
    scene.deliver_again()
    claimed = scene.field("claimed")
    longer = (LONGEST_PASS + 1) * 1000
    eventually(lambda: scene.field("claimed") > claimed + longer, "the pass lasts longer than it may without a sign")
    scene.deliver_again()
    assert scene.field("resumes") == 1, "nobody takes it for dead"
    scene.results.restart()
    assert finished(scene.run)
    assert scene.links() == 1


def test_a_run_whose_dispatcher_is_killed_in_its_second_pass_is_concluded_by_another(scene: Scene) -> None:
    os.kill(scene.dispatcher.pid, signal.SIGKILL)
    eventually(lambda: scene.dispatcher.poll() is not None, "it is dead")
    scene.start("dispatcher")
    scene.results.restart()
    assert finished(scene.run)
    assert scene.field("resumes") == 2
    assert scene.links() == 1
