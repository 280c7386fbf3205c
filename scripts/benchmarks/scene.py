"""A local stack for benchmarks: quiet processes, containers that cost nothing, the environment of this process set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dagy_queue import ContainerRequest
from dagy_queue.local.environment import environ
from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack

STUB = ContainerRequest(org_id="bench", image="dagy-local/stub:latest")


@dataclass(frozen=True, slots=True)
class Scene:
    """A running stack and its processes."""

    stack: LocalStack
    dispatcher: Child
    bridge: Child


@contextmanager
def running_scene(**options: Any) -> Iterator[Scene]:
    """Start a stack with one dispatcher and one bridge; nothing of the caller's settings leads elsewhere meanwhile."""
    with LocalStack(**options) as stack, environ(stack.environment):
        quiet = "--log-level=warning"
        yield Scene(stack, stack.spawn("dispatcher", quiet), stack.spawn("bridge", quiet))
