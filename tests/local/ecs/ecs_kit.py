"""What the tests of the local ECS share: a bus, logs and secrets to watch, requests, and botocore's word on shapes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize
import botocore.validate
import pytest

from dagy_queue.local.ecs import LocalEcs, LocalEcsConfig
from dagy_queue.local.ports import AwsError, LogLine

SCALARS = {"timestamp": float, "string": str, "integer": int, "long": int, "boolean": bool, "double": float}
WORKER_PATHS = (str(Path(__file__).parent),)
WORKER_ENTRY = "sample_worker:main"
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}
SERVICE = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("ecs", "service-2"), "ecs")


class Clock:
    """A clock that only moves when told."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Bus:
    """Keeps the events it is given, and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self._news = asyncio.Condition()

    async def put_event(self, event: Mapping[str, Any]) -> None:
        async with self._news:
            self.events.append(event)
            self._news.notify_all()

    async def until(self, found: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        async with self._news:
            await self._news.wait_for(lambda: any(found(event["detail"]) for event in self.events))
        return next(event["detail"] for event in self.events if found(event["detail"]))

    async def status(self, arn: str, status: str) -> Mapping[str, Any]:
        return await self.until(lambda detail: detail["taskArn"] == arn and detail["lastStatus"] == status)

    async def stopped(self, arn: str) -> Mapping[str, Any]:
        return await self.status(arn, "STOPPED")

    def of(self, arn: str) -> list[Mapping[str, Any]]:
        return [event["detail"] for event in self.events if event["detail"]["taskArn"] == arn]


class Logs:
    """Keeps the lines it is given by stream."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], list[str]] = {}
        self.batches: list[int] = []

    async def write_lines(self, group: str, stream: str, lines: Sequence[LogLine]) -> None:
        self.batches.append(len(lines))
        self.lines.setdefault((group, stream), []).extend(line.message for line in lines)

    @property
    def all(self) -> list[str]:
        return [line for lines in self.lines.values() for line in lines]


class Secrets:
    """Knows one secret."""

    async def resolve(self, value_from: str) -> str:
        if value_from == "arn:aws:secretsmanager:us-east-1:000000000000:secret:known":
            return "s3cret"
        raise AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")


class Kit:
    """A local ECS with everything around it."""

    def __init__(self, **config: Any) -> None:
        self.bus, self.logs = Bus(), Logs()
        defaults = {"worker_entry": WORKER_ENTRY, "worker_paths": WORKER_PATHS, "seed": 1}
        self.ecs = LocalEcs(LocalEcsConfig(**{**defaults, **config}), self.bus, self.logs, Secrets())

    async def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Call as boto3 would: the request goes through botocore's validation, the answer is held against its shape."""
        model = SERVICE.operation_model(operation)
        answer = await self.ecs.call(operation, as_sent(operation, request))
        check_shape(answer, model.output_shape)
        return answer

    async def refusal(self, operation: str, **request: Any) -> AwsError:
        with pytest.raises(AwsError) as caught:
            await self.ecs.call(operation, request)
        return caught.value

    async def stat(self, name: str) -> Any:
        return (await self.ecs.admin("stats", {}))[name]

    async def last_status(self, arn: str) -> str:
        return str((await self.call("DescribeTasks", tasks=[arn]))["tasks"][0]["lastStatus"])

    async def register(self, family: str = "flow", image: str = "dagy-local/stub", **container: Any) -> str:
        answer = await self.call("RegisterTaskDefinition", **definition(family, image, **container))
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    async def run(self, task_definition: str = "flow", **request: Any) -> dict[str, Any]:
        answer = await self.call("RunTask", **run_request(task_definition, **request))
        assert not answer["failures"]
        return dict(answer["tasks"][0])

    async def outcome(self, image: str, *, overrides: Any = None, **container: Any) -> Mapping[str, Any]:
        """Run one container to its end and return the STOPPED event's detail."""
        arn = await self.register(f"f{len(self.bus.events)}", image, **container)
        extra = {"overrides": overrides} if overrides else {}
        return await self.bus.stopped((await self.run(arn, **extra))["taskArn"])


@asynccontextmanager
async def local_ecs(**config: Any) -> AsyncIterator[Kit]:
    kit = Kit(**config)
    await kit.ecs.start()
    try:
        yield kit
    finally:
        await kit.ecs.close()


async def equal(coming: Awaitable[Any], expected: Any) -> bool:
    return bool(await coming == expected)


def with_ecs(test: Callable[[Kit], Awaitable[None]], **config: Any) -> None:
    """Run a coroutine function with a local ECS that is closed after it."""

    async def main() -> None:
        async with local_ecs(**config) as kit, asyncio.timeout(30):
            await test(kit)

    asyncio.run(main())


def simulated(test: Callable[[Kit], Coroutine[Any, Any, None]], **config: Any) -> None:
    """The same, where every image is simulated and no process starts."""
    with_ecs(test, simulate=True, **config)


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    while True:
        met = condition()
        if met if isinstance(met, bool) else await met:
            return
        await asyncio.sleep(0.002)


def definition(family: str = "flow", image: str = "dagy-local/stub", **container: Any) -> dict[str, Any]:
    log = {
        "logDriver": "awslogs",
        "options": {"awslogs-group": "/dagy", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "flows"},
    }
    return {
        "family": family,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "containerDefinitions": [{"name": "worker", "image": image, "logConfiguration": log, **container}],
    }


def run_request(task_definition: str = "flow", **request: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"taskDefinition": task_definition, "networkConfiguration": NETWORK}
    if "capacityProviderStrategy" not in request:
        base["launchType"] = "FARGATE"
    return {**base, **request}


SPOT = {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]}


def as_sent(operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON body botocore would send, having validated it."""
    model = SERVICE.operation_model(operation)
    report = botocore.validate.ParamValidator().validate(request, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    sent = botocore.serialize.create_serializer("json").serialize_to_request(dict(request), model)
    return dict(json.loads(sent["body"]))


def as_parsed(operation: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what boto3 makes of an answer's JSON."""
    response = {"status_code": 200, "headers": {}, "body": json.dumps(answer).encode()}
    shape = SERVICE.operation_model(operation).output_shape
    return dict(botocore.parsers.create_parser("json").parse(response, shape))


def check_shape(value: Any, shape: Any, where: str = "answer", *, iso: bool = False) -> None:
    """Fail unless a JSON value has only what a shape knows, in the right JSON types."""
    match shape.type_name:
        case "structure":
            assert isinstance(value, dict), where
            unknown = set(value) - set(shape.members)
            assert not unknown, f"{where}: {unknown}"
            for name, item in value.items():
                check_shape(item, shape.members[name], f"{where}.{name}", iso=iso)
        case "list":
            assert isinstance(value, list), where
            for item in value:
                check_shape(item, shape.member, f"{where}[]", iso=iso)
        case "map":
            assert isinstance(value, dict), where
        case "timestamp" if iso:
            assert datetime.fromisoformat(value).tzinfo is not None, where
        case name:
            assert type(value) is SCALARS[name], f"{where}: {value!r}"
            assert not getattr(shape, "enum", None) or value in shape.enum, f"{where}: {value!r}"
