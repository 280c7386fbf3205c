"""Crashes: whatever dies, a run ends with one ECS task per attempt and one result."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from dagy_queue import ContainerRequest, DagLauncher, Phase, RunCancelled, RunFailed, RunHandle
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import RedisConnection
from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import TIMEOUT, let_go_of_results
from tests.integration.waiting import eventually, until_phase
from tests.unit.bridge.kit import make_desk

STUB = ContainerRequest(org_id="acme", image="dagy-local/stub:latest")
SHORT_LEASE = {"DAGY_QUEUE__DISPATCH__LEASE_SECONDS": "1", "DAGY_QUEUE__DISPATCH__THROTTLE_DELAY": "0.05"}


class Scene:
    """A stack whose processes a test starts and kills."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.launcher = DagLauncher(stack.settings())
        self.aws = AwsClients(stack.settings().aws)

    def dispatcher(self, **environment: str) -> Child:
        return self.stack.spawn("dispatcher", label="dispatcher", environment={**SHORT_LEASE, **environment})

    def bridge(self) -> Child:
        return self.stack.spawn("bridge", label="bridge", environment={"DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "1"})

    def tasks_of(self, run: RunHandle, attempt: int = 1) -> list[str]:
        started_by = AttemptId(run.run_id, attempt).started_by
        return [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in self.aws.ecs_control.list_tasks(cluster="dagy", startedBy=started_by, desiredStatus=status)[
                "taskArns"
            ]
        ]

    def fault(self, **run_task: Any) -> None:
        self.stack.admin("faults", {"operations": {"RunTask": run_task}})


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(data_dir=tmp_path_factory.mktemp("crashes")) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running
        let_go_of_results()


@pytest.fixture
def scene(running_stack: LocalStack) -> Iterator[Scene]:
    scene = Scene(running_stack)
    yield scene
    running_stack.admin("reset", {})
    for child in ("dispatcher", "bridge"):
        running_stack.end(child)


def kill(child: Child) -> None:
    os.kill(child.pid, signal.SIGKILL)
    eventually(lambda: child.poll() is not None, f"{child.name} is dead")


def test_a_dispatcher_killed_between_lease_and_runtasks_answer_leaves_one_task(scene: Scene) -> None:
    scene.fault(hold=True)
    first = scene.dispatcher()
    run = scene.launcher.enqueue(STUB)
    eventually(lambda: scene.tasks_of(run), "ECS has created the task")
    assert run.entry().phase is Phase.SUBMITTING
    kill(first)
    scene.stack.admin("release", {})
    scene.fault(hold=False)
    scene.dispatcher()
    eventually(lambda: run.entry().task_arn, "the second dispatcher knows the task")
    scene.bridge()
    result = run.get(timeout=TIMEOUT)
    assert scene.tasks_of(run) == [result["task_arn"]]


def test_a_dispatcher_killed_before_its_call_arrives_is_replaced(scene: Scene) -> None:
    scene.fault(delay_before=600.0)
    first = scene.dispatcher()
    run = scene.launcher.enqueue(STUB)
    eventually(lambda: scene.stack.admin("stats")["calls"].get("RunTask"), "the call is under way")
    assert scene.tasks_of(run) == []
    kill(first)
    scene.fault(delay_before=0.0)
    scene.dispatcher()
    scene.bridge()
    result = run.get(timeout=TIMEOUT)
    assert scene.tasks_of(run) == [result["task_arn"]]


def test_the_end_of_a_task_resumes_a_run_whose_dispatcher_never_noted_its_arn(scene: Scene) -> None:
    scene.fault(hold=True)
    first = scene.dispatcher()
    run = scene.launcher.enqueue(STUB)
    eventually(lambda: scene.tasks_of(run), "ECS has created the task")
    kill(first)
    scene.bridge()
    until_phase(run, Phase.STOPPED)
    scene.stack.admin("release", {})
    scene.fault(hold=False)
    scene.dispatcher()
    result = run.get(timeout=TIMEOUT)
    assert scene.tasks_of(run) == [result["task_arn"]]


def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_token(scene: Scene) -> None:
    scene.fault(drop_answer_next=2)
    scene.dispatcher()
    scene.bridge()
    run = scene.launcher.enqueue(STUB)
    result = run.get(timeout=TIMEOUT)
    assert scene.tasks_of(run) == [result["task_arn"]]
    assert run.entry().attempt == 1


@pytest.mark.parametrize("fault", ["throttle_next", "hidden_throttle_next", "server_error_next"])
def test_a_refused_call_is_repeated_without_a_new_attempt(scene: Scene, fault: str) -> None:
    scene.fault(**{fault: 2})
    scene.dispatcher()
    scene.bridge()
    run = scene.launcher.enqueue(STUB)
    run.get(timeout=TIMEOUT)
    assert (run.entry().attempt, run.entry().retries) == (1, 0)


def test_a_launch_without_capacity_is_repeated_under_a_new_token_and_costs_no_retry(scene: Scene) -> None:
    scene.fault(capacity_next=2)
    scene.dispatcher()
    scene.bridge()
    run = scene.launcher.enqueue(STUB)
    run.get(timeout=TIMEOUT)
    assert (run.entry().attempt, run.entry().retries) == (3, 0)


def test_a_task_that_never_starts_fails_its_run_with_the_reason(scene: Scene) -> None:
    scene.dispatcher()
    scene.bridge()
    run = scene.launcher.enqueue(ContainerRequest(org_id="acme", image="registry.example/no/such:image"))
    with pytest.raises(RunFailed, match="there is no such image") as caught:
        run.get(timeout=TIMEOUT)
    assert caught.value.outcome["kind"] == "start_failed"
    assert "CannotPullContainerError" in caught.value.outcome["detail"]
    assert "check the image's name" in caught.value.outcome["resolution"]


def test_a_container_that_exits_with_another_code_fails_its_run(scene: Scene) -> None:
    scene.dispatcher()
    scene.bridge()
    run = scene.launcher.enqueue(STUB.model_copy(update={"command": ("0", "3")}))
    with pytest.raises(RunFailed, match="exit code 3"):
        run.get(timeout=TIMEOUT)
    assert run.outcome().exit_code == 3


def test_a_bridge_that_dies_before_it_deletes_resumes_nothing_twice(scene: Scene) -> None:
    scene.dispatcher()
    run = scene.launcher.enqueue(STUB)
    settings = scene.stack.settings()
    connection = RedisConnection(settings.redis)

    class DyingSqs:
        """Receives like SQS; the process is gone before it can delete."""

        receive_message = staticmethod(scene.aws.sqs.receive_message)

        @staticmethod
        def delete_message_batch(**_: Any) -> None:
            raise RuntimeError("killed")

    dying = make_desk(DyingSqs(), connection, url=settings.bridge.queue_url, visibility_timeout=1).consumer

    def resumed() -> bool:
        with contextlib.suppress(RuntimeError):
            dying.turn()
        return run.entry().completion is not None

    eventually(resumed, "the STOPPED event was applied")
    before = run.get(timeout=TIMEOUT)
    scene.bridge()
    queue = settings.bridge.queue_url
    eventually(lambda: is_empty(scene, queue), "the redelivered events are consumed")
    assert run.get(timeout=TIMEOUT) == before


def is_empty(scene: Scene, queue_url: str) -> bool:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = scene.aws.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]  # type: ignore[arg-type]
    return all(attributes[name] == "0" for name in names)


def test_a_run_cancelled_while_no_dispatcher_listens_is_never_launched(scene: Scene) -> None:
    run = scene.launcher.enqueue(STUB)
    run.cancel()
    scene.dispatcher()
    with pytest.raises(RunCancelled):
        run.get(timeout=TIMEOUT)
    assert scene.tasks_of(run) == []


def test_parked_runs_hold_no_thread_of_their_dispatcher(scene: Scene) -> None:
    scene.dispatcher(DAGY_QUEUE__DISPATCH__CONCURRENCY="1")
    scene.bridge()
    parked = [scene.launcher.enqueue(STUB.model_copy(update={"command": ("3600", "0")})) for _ in range(50)]
    for run in parked:
        until_phase(run, Phase.RUNNING)
    assert scene.launcher.enqueue(STUB).get(timeout=TIMEOUT)["exit_code"] == 0
    for run in parked:
        run.cancel()
    for run in parked:
        eventually(lambda run=run: run.status().is_final, "the run is cancelled")
