"""The bridge as a process on the local stack: poison, quarantine, dead letters, a Redis that is away, and its stop."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from dagy_queue import ContainerRequest, DagLauncher, Phase, RunHandle
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ids import new_id
from dagy_queue.launching.direct import DirectLauncher
from dagy_queue.ledger import RedisConnection
from dagy_queue.local.environment import process_environment
from dagy_queue.local.free_port import free_port
from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from dagy_queue.operate import cli
from dagy_queue.operate.commands import dlq
from tests.integration.conftest import TIMEOUT, forget_settings, let_go_of_results
from tests.integration.waiting import eventually, until_phase
from tests.unit.bridge.kit import make_desk
from tests.unit.kit import body, event, stopped_event

STUB = ContainerRequest(org_id="acme", image="dagy-local/stub:latest")
QUICK = {"DAGY_QUEUE__BRIDGE__VISIBILITY_TIMEOUT": "1", "DAGY_QUEUE__BRIDGE__MAX_RECEIVES": "2"}
NO_REDIS = {"DAGY_REDIS_URL": "redis://127.0.0.1:1/0"}
LONG_POLL = 20
SOON = 5.0
"""Seconds in which a bridge must have stopped, far below its long poll."""


class Scene:
    """A stack with a bridge that a test starts, and both of its queues."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.settings = stack.settings()
        self.sqs = AwsClients(self.settings.aws).sqs
        self.launcher = DagLauncher(self.settings)
        self.queue = stack.provisioned.queue_url
        self.dead = stack.provisioned.dead_letter_url

    def bridge(self, **environment: str) -> Child:
        wait = {"DAGY_QUEUE__BRIDGE__WAIT_SECONDS": str(LONG_POLL)}
        return self.stack.spawn("bridge", label="bridge", environment={**wait, **environment})

    def send(self, *bodies: str) -> None:
        for text in bodies:
            self.sqs.send_message(QueueUrl=self.queue, MessageBody=text)

    def counts(self, url: str) -> dict[str, Any]:
        found: dict[str, Any] = self.stack.sqs_stats()["queues"][url.rsplit("/", 1)[-1]]
        return found

    def is_empty(self, url: str) -> bool:
        found = self.counts(url)
        return not (found["ready"] or found["in_flight"])

    def until_polling(self) -> None:
        consumers = self.settings.bridge.consumers
        eventually(lambda: self.counts(self.queue)["waiting_receivers"] == consumers, "every consumer waits in a poll")

    def dlq(self, *arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli.app, ["dlq", *arguments], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.output

    def letters(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self.dlq("list", "--json"))
        return found

    def calls(self, operation: str) -> int:
        return int(self.stack.sqs_stats()["calls"].get(operation, 0))

    def launched(self) -> RunHandle:
        return self.launcher.enqueue(STUB)


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(data_dir=tmp_path_factory.mktemp("bridge")) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        patch.setattr(dlq, "_WAIT_SECONDS", 0)  # the local SQS has one server
        forget_settings()
        running.spawn("dispatcher")
        yield running
        let_go_of_results()
    forget_settings()


@pytest.fixture
def scene(running_stack: LocalStack) -> Iterator[Scene]:
    scene = Scene(running_stack)
    yield scene
    running_stack.end("bridge")
    for url in (scene.queue, scene.dead):
        scene.sqs.purge_queue(QueueUrl=url)


def stopped_now(run_id: str) -> str:
    return body(stopped_event(run_id, stoppedAt=datetime.now(UTC).isoformat()))


def seconds_to_end(child: Child) -> float:
    begun = time.monotonic()
    child.terminate()
    eventually(lambda: child.poll() is not None, "the bridge has ended")
    assert child.poll() == 0
    return time.monotonic() - begun


def test_poison_stops_no_run_and_is_quarantined_with_its_reason(scene: Scene) -> None:
    poison = ["nonsense", "[" * 50_000, body(event(startedBy="ecs-svc/1")), body(event(version=None))]
    scene.send(*poison * 3)
    scene.bridge(**QUICK)
    assert scene.launched().get(timeout=TIMEOUT)["exit_code"] == 0
    eventually(lambda: scene.is_empty(scene.queue), "the event queue is empty")
    letters = scene.letters()
    assert len(letters) == 12
    assert {letter["body"] for letter in letters} == set(poison)
    reasons = {letter["body"]: letter["reason"] for letter in letters}
    assert reasons["nonsense"].startswith("not an ECS task event: JSONDecodeError")
    assert reasons[body(event(startedBy="ecs-svc/1"))] == "startedBy 'ecs-svc/1' is not one of ours"
    assert all(datetime.fromisoformat(letter["first_seen"]) for letter in letters)


def test_the_end_of_a_run_that_nobody_knows_is_quarantined_and_of_a_known_one_is_not(scene: Scene) -> None:
    scene.send(stopped_now("stranger"), body(stopped_event("ended-long-ago")))
    scene.bridge(**QUICK)
    eventually(lambda: scene.counts(scene.dead)["ready"], "a message is in quarantine")
    eventually(lambda: scene.is_empty(scene.queue), "the event queue is empty")
    (letter,) = scene.letters()
    assert (letter["run_id"], "nor the record has its run stranger" in letter["reason"]) == ("stranger", True)


def test_the_end_of_a_direct_launch_is_no_dead_letter(scene: Scene) -> None:
    scene.bridge(**QUICK)
    before = scene.counts(scene.queue)["deleted"]
    DirectLauncher(scene.settings).launch(new_id(), STUB)
    eventually(lambda: scene.counts(scene.queue)["deleted"] >= before + 6, "all of its events are done with")
    assert scene.is_empty(scene.dead)


def test_dead_letters_are_listed_shown_sent_back_and_purged(scene: Scene) -> None:
    assert scene.dlq("list") == "the dead-letter queue is empty\n"
    scene.send(stopped_now("first"), "nonsense", "more nonsense")
    scene.bridge(**QUICK)
    eventually(lambda: scene.counts(scene.dead)["ready"] == 3, "all are in quarantine")
    scene.stack.end("bridge")
    first, *_ = (letter for letter in scene.letters() if letter["run_id"] == "first")

    assert len(scene.dlq("list").splitlines()) == 3
    assert f"{first['message_id']} {first['first_seen']} run first: its task has ended" in scene.dlq("list")
    shown = json.loads(scene.dlq("show", first["message_id"], "--json"))
    assert shown["body"]["detail"]["startedBy"] == "dagy/first/1"
    assert "reason: its task has ended" in scene.dlq("show", first["message_id"])
    assert "no message other" in scene.dlq("show", "other", code=5)
    assert scene.counts(scene.dead)["ready"] == 3

    assert scene.dlq("redrive", first["message_id"]) == "redriven: 1\n"
    assert (scene.counts(scene.queue)["ready"], scene.counts(scene.dead)["ready"]) == (1, 2)
    assert json.loads(scene.dlq("redrive", "--all", "--json"))["missing"] == 0
    assert (scene.counts(scene.queue)["ready"], scene.counts(scene.dead)["ready"]) == (3, 0)
    assert scene.counts(scene.dead)["in_flight"] == 0
    scene.dlq("redrive", first["message_id"], code=5)

    scene.sqs.send_message(QueueUrl=scene.dead, MessageBody="left")
    assert "say --yes" in scene.dlq("purge", code=2)
    assert scene.counts(scene.dead)["ready"] == 1
    scene.dlq("purge", "--yes")
    assert scene.is_empty(scene.dead)


def test_a_message_that_is_redriven_is_applied(scene: Scene) -> None:
    run = scene.launcher.enqueue(STUB.model_copy(update={"command": ("3600", "0")}))
    scene.bridge(**QUICK)
    until_phase(run, Phase.RUNNING)
    end = stopped_event(run.run_id, taskArn=run.entry().task_arn, version=90)
    scene.sqs.send_message(QueueUrl=scene.dead, MessageBody=body(end))
    assert scene.dlq("redrive", "--all") == "redriven: 1\n"
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    until_phase(run, Phase.SUCCEEDED)


def test_a_queue_without_a_dead_letter_queue_is_told_clearly(scene: Scene) -> None:
    bare = scene.sqs.create_queue(QueueName="bare")["QueueUrl"]
    environment = process_environment({**scene.stack.environment, "DAGY_EVENT_QUEUE_URL": bare})
    command = [sys.executable, "-m", "dagy_queue.operate.cli", "dlq", "list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "has no dead-letter queue: give it a redrive policy" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_sqs_did_not_delete_is_deleted_at_the_second_try(scene: Scene) -> None:
    connection = RedisConnection(scene.settings.redis)

    class Partial:
        """SQS, with a receipt that is wrong in the first batch of each turn."""

        receive_message = staticmethod(scene.sqs.receive_message)
        batches = 0

        def delete_message_batch(self, **call: Any) -> Any:
            self.batches += 1
            if self.batches == 1:
                call["Entries"][3]["ReceiptHandle"] = "nonsense"
            return scene.sqs.delete_message_batch(**call)

    sqs = Partial()
    scene.send(*[body(event(f"stranger-{n}")) for n in range(10)])
    assert make_desk(sqs, connection, url=scene.queue).consumer.turn() == 10
    assert (sqs.batches, scene.is_empty(scene.queue)) == (2, True)
    connection.close()


def test_an_open_long_poll_does_not_delay_the_stop(scene: Scene) -> None:
    child = scene.bridge()
    scene.until_polling()
    assert seconds_to_end(child) < SOON
    assert scene.counts(scene.queue)["waiting_receivers"] == 0


def test_what_is_in_hand_is_given_back_when_a_bridge_without_redis_stops(scene: Scene) -> None:
    run = scene.launched()
    child = scene.bridge(**NO_REDIS, DAGY_QUEUE__BRIDGE__STOP_GRACE="0.5")
    eventually(lambda: scene.counts(scene.queue)["in_flight"], "events are in hand")
    assert seconds_to_end(child) < 2 * SOON  # the recorder, too, waits for Redis
    eventually(lambda: scene.counts(scene.queue)["in_flight"] == 0, "events are given back")
    scene.bridge()
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0


def test_events_wait_in_sqs_while_redis_is_away_and_are_applied_once_it_is_back(scene: Scene) -> None:
    port = free_port()
    hidden = {"DAGY_QUEUE__BRIDGE__VISIBILITY_TIMEOUT": "5"}  # prolonged in time on a slow machine, too
    child = scene.bridge(**{**QUICK, **hidden}, DAGY_QUEUE__BRIDGE__HEALTH_PORT=str(port))
    scene.until_polling()
    run = scene.launcher.enqueue(STUB.model_copy(update={"command": ("2", "0")}))
    until_phase(run, Phase.RUNNING)
    assert health(port)[0] == 200
    scene.stack.redis.kill()
    eventually(lambda: metrics(port).get('dagy_bridge_failures_total{call="apply"}'), "events are in hand")
    status, report = health(port)
    assert (status, report["redis"] != "ok", list(report["failing_calls"])) == (503, True, ["apply"])
    prolonged = scene.calls("ChangeMessageVisibilityBatch")
    eventually(lambda: scene.calls("ChangeMessageVisibilityBatch") > prolonged + 3, "they are kept hidden")
    assert scene.counts(scene.queue)["in_flight"]
    scene.stack.redis.restart()
    assert run.get(timeout=TIMEOUT)["exit_code"] == 0
    eventually(lambda: health(port)[0] == 200, "the bridge is well again")
    assert child.poll() is None
    assert scene.is_empty(scene.dead)
    assert metrics(port)['dagy_bridge_messages_total{kind="resumed"}'] == 1


def test_the_health_port_is_on_loopback_and_off_unless_asked_for(scene: Scene) -> None:
    log = scene.bridge().log
    before = len(log.read_text())
    scene.until_polling()
    assert "bridge_health_served" not in log.read_text()[before:]
    scene.bridge(DAGY_QUEUE__BRIDGE__HEALTH_PORT="0")
    eventually(lambda: '"url": "http://127.0.0.1:' in log.read_text()[before:], "health is served")


def health(port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
