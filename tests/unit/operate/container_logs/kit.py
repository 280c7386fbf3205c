"""CloudWatch Logs as CloudWatch documents it, in memory: pages, tokens, streams that do not exist, throttles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from tests.unit.operate.kit import TASK

GROUP = "/ecs/dagy-worker"


def refusal(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


class FakeLogs:
    """The client of one region."""

    def __init__(self, page: int = 3) -> None:
        self.streams: dict[str, list[dict[str, Any]]] = {}
        self.calls: list[tuple[str, int]] = []
        """The operation of each call, and how many streams it named."""
        self.throttles = 0
        self._page = page
        self._ids = 0

    def write(self, stream: str, *messages: str, at: int = 0) -> None:
        lines = self.streams.setdefault(stream, [])
        for message in messages:
            self._ids += 1
            lines.append({"timestamp": at or self._ids, "message": message, "eventId": str(self._ids)})

    def get_log_events(self, **asked: Any) -> dict[str, Any]:
        self._called("GetLogEvents", 1)
        lines = self._stream(asked["logStreamName"], "GetLogEvents")
        lines = [line for line in lines if line["timestamp"] >= asked.get("startTime", 0)]
        size = min(self._page, asked.get("limit", self._page))
        kind, _, number = asked.get("nextToken", "").partition("/")
        if kind == "f" or (not kind and asked["startFromHead"]):
            first = int(number or 0)
            last = min(len(lines), first + size)
        else:
            last = int(number) if kind else len(lines)
            first = max(0, last - size)
        return {
            "events": lines[first:last],
            "nextForwardToken": f"f/{last}",
            "nextBackwardToken": f"b/{first}",
        }

    def filter_log_events(self, **asked: Any) -> dict[str, Any]:
        names: Sequence[str] | None = asked.get("logStreamNames")
        self._called("FilterLogEvents", len(names or ()))
        assert names is None or len(names) <= 100
        for name in names or ():
            self._stream(name, "FilterLogEvents")
        prefix = asked.get("logStreamNamePrefix", "")
        chosen = [name for name in self.streams if (name in names if names is not None else name.startswith(prefix))]
        lines = [
            {**line, "logStreamName": name}
            for name in chosen
            for line in self.streams[name]
            if line["timestamp"] >= asked.get("startTime", 0)
        ]
        lines.sort(key=lambda line: line["timestamp"])
        first = int(asked.get("nextToken", 0))
        rest = {"nextToken": str(first + self._page)} if first + self._page < len(lines) else {}
        return {"events": lines[first : first + self._page], **rest}

    def _called(self, operation: str, streams: int) -> None:
        self.calls.append((operation, streams))
        if self.throttles:
            self.throttles -= 1
            raise refusal("ThrottlingException", operation)

    def _stream(self, name: str, operation: str) -> list[dict[str, Any]]:
        if name not in self.streams:
            raise refusal("ResourceNotFoundException", operation)
        return self.streams[name]


class Clock:
    """A time that passes when somebody waits."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def pause(self, seconds: float) -> None:
        self.at += seconds


class FakeEcs:
    """ECS as far as it describes tasks and their definitions."""

    def __init__(self) -> None:
        self.tasks: dict[str, str] = {}
        self.definitions: dict[str, dict[str, Any]] = {}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        assert cluster == "dagy"
        return {"tasks": [{"taskDefinitionArn": self.tasks[arn]} for arn in tasks if arn in self.tasks]}

    def describe_task_definition(self, *, taskDefinition: str) -> dict[str, Any]:  # noqa: N803 - ECS's own name
        return {"taskDefinition": self.definitions[taskDefinition]}


def stream(run_id: str) -> str:
    return f"dagy/worker/{TASK.format(run_id).rpartition('/')[2]}"


def wrote(logs: FakeLogs, run_id: str, *messages: str) -> str:
    logs.write(stream(run_id), *messages)
    return run_id
