"""The seams between the parts of the local AWS: what the local ECS needs of its surroundings.

The gateway (``local/gateway.py``) implements these over EventBridge rules, CloudWatch Logs and secrets; the
local ECS (``local/ecs``) only calls them, so that it can be tested alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class AwsError(Exception):
    """An error answer of an AWS API: its exception name, its message and the HTTP status it travels with."""

    def __init__(self, code: str, message: str, *, status: int = 400, fields: Mapping[str, Any] | None = None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = dict(fields or {})


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a container's output. ``timestamp`` is in milliseconds since the epoch."""

    timestamp: int
    message: str


class EventSink(Protocol):
    """Where the local ECS puts its events: an EventBridge bus."""

    async def put_event(self, event: Mapping[str, Any]) -> None:
        """Match one EventBridge envelope against the rules and deliver it to their targets."""


class LogSink(Protocol):
    """Where container output goes: CloudWatch Logs."""

    async def write_lines(self, group: str, stream: str, lines: Sequence[LogLine]) -> None:
        """Append lines to a stream, creating the stream if needed (awslogs does the same)."""


class SecretSource(Protocol):
    """Where ``secrets`` of a container definition come from: Secrets Manager."""

    async def resolve(self, value_from: str) -> str:
        """Return the value behind a ``valueFrom`` ARN. Raises AwsError if it cannot be read."""
