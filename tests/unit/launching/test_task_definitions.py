from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.stub import Stubber
from botocore.validate import ParamValidator

from dagy_queue.errors import AwsRefused, AwsThrottled
from dagy_queue.launching.task_definitions import TaskDefinitions, definition_hash, worker_definition
from dagy_queue.ledger import RedisConnection
from dagy_queue.settings import EcsSettings
from tests.unit.kit import REGION, client, stubbed

ARN = "arn:aws:ecs:us-east-1:123456789012:task-definition/dagy-worker-x:1"
DEFINITION = worker_definition(EcsSettings(), "dagy-worker:latest", REGION)
FAMILY = f"dagy-worker-{definition_hash(DEFINITION)}"


@pytest.fixture
def ecs() -> Iterator[tuple[Any, Stubber]]:
    with stubbed("ecs") as both:
        yield both


def is_unknown(stub: Stubber) -> None:
    stub.add_client_error(
        "describe_task_definition",
        "ClientException",
        "Unable to describe task definition.",
        expected_params={"taskDefinition": FAMILY},
    )


def is_registered(stub: Stubber, arn: str = ARN) -> None:
    answer = {"taskDefinition": {"taskDefinitionArn": arn}}
    stub.add_response("register_task_definition", answer, {"family": FAMILY, **DEFINITION})


def definitions(ecs: Any, connection: RedisConnection) -> TaskDefinitions:
    return TaskDefinitions(ecs, connection, "dagy-worker")


def test_a_definition_is_registered_once(ecs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    is_unknown(ecs[1])
    is_registered(ecs[1])
    known = definitions(ecs[0], connection)
    assert [known.arn(DEFINITION) for _ in range(3)] == [ARN] * 3


def test_another_process_finds_it_in_the_ledger(ecs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    is_unknown(ecs[1])
    is_registered(ecs[1])
    definitions(ecs[0], connection).arn(DEFINITION)
    assert definitions(ecs[0], connection).arn(DEFINITION) == ARN


def test_with_an_empty_ledger_it_is_found_by_its_family(ecs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    answer = {"taskDefinition": {"taskDefinitionArn": ARN}}
    ecs[1].add_response("describe_task_definition", answer, {"taskDefinition": FAMILY})
    assert definitions(ecs[0], connection).arn(DEFINITION) == ARN


def test_what_is_forgotten_is_asked_for_again(ecs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    for revision in ("1", "2"):
        is_unknown(ecs[1])
        is_registered(ecs[1], ARN[:-1] + revision)
    known = definitions(ecs[0], connection)
    known.forget(known.arn(DEFINITION))
    assert known.arn(DEFINITION) == ARN[:-1] + "2"


def test_forgetting_what_nobody_knows_changes_nothing(connection: RedisConnection) -> None:
    definitions(client("ecs"), connection).forget(ARN)


def test_a_refusal_is_not_remembered(ecs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    is_unknown(ecs[1])
    ecs[1].add_client_error("register_task_definition", "ClientException", "Invalid setting")
    is_unknown(ecs[1])
    is_registered(ecs[1])
    known = definitions(ecs[0], connection)
    with pytest.raises(AwsRefused):
        known.arn(DEFINITION)
    assert known.arn(DEFINITION) == ARN


def test_a_throttle_is_passed_on_and_gives_the_lock_back(ecs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    ecs[1].add_client_error("describe_task_definition", "ThrottlingException", "Rate exceeded")
    with pytest.raises(AwsThrottled):
        definitions(ecs[0], connection).arn(DEFINITION)
    assert list(connection.client.scan_iter("*lock*")) == []


class CountingEcs:
    """An ECS that has nothing, takes everything, and counts."""

    def __init__(self) -> None:
        self.registered: list[str] = []
        self._lock = threading.Lock()

    def describe_task_definition(self, **_: Any) -> Any:
        with self._lock:
            return {"taskDefinition": {"taskDefinitionArn": f"arn/{self.registered[0]}"} if self.registered else {}}

    def register_task_definition(self, family: str, **_: Any) -> Any:
        with self._lock:
            self.registered.append(family)
            return {"taskDefinition": {"taskDefinitionArn": f"arn/{family}"}}


def test_many_processes_and_threads_register_once(connection: RedisConnection) -> None:
    ecs = CountingEcs()
    processes = [definitions(ecs, connection) for _ in range(4)]
    with ThreadPoolExecutor(12) as threads:
        arns = list(threads.map(lambda n: processes[n % 4].arn(DEFINITION), range(24)))
    assert arns == [f"arn/{FAMILY}"] * 24
    assert ecs.registered == [FAMILY]


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    assert definition_hash({"a": 1, "b": {"c": 2, "d": 3}}) == definition_hash({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize(
    "other",
    [
        worker_definition(EcsSettings(), "dagy-worker:2", REGION),
        worker_definition(EcsSettings(), "dagy-worker:latest", "eu-west-1"),
        worker_definition(EcsSettings(cpu=512, memory=1024), "dagy-worker:latest", REGION),
        worker_definition(EcsSettings(task_role_arn="arn:role"), "dagy-worker:latest", REGION),
    ],
)
def test_another_definition_has_another_hash(other: dict[str, Any]) -> None:
    assert definition_hash(other) != definition_hash(DEFINITION)


def test_botocore_accepts_a_definition() -> None:
    shape = client("ecs").meta.service_model.operation_model("RegisterTaskDefinition").input_shape
    ecs = EcsSettings(execution_role_arn="arn:aws:iam::1:role/x", task_role_arn="arn:aws:iam::1:role/t")
    report = ParamValidator().validate({"family": FAMILY, **worker_definition(ecs, "image", REGION)}, shape)
    assert not report.has_errors(), report.generate_report()


def test_a_definition_is_one_essential_container_for_fargate() -> None:
    (container,) = DEFINITION["containerDefinitions"]
    assert (container["name"], container["image"], container["essential"]) == ("worker", "dagy-worker:latest", True)
    assert (DEFINITION["requiresCompatibilities"], DEFINITION["networkMode"]) == (["FARGATE"], "awsvpc")
    assert (DEFINITION["cpu"], DEFINITION["memory"]) == ("256", "512")


def test_roles_that_are_not_set_are_left_out() -> None:
    assert not {"executionRoleArn", "taskRoleArn"} & DEFINITION.keys()
