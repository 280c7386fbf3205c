"""A local stack for benchmarks: quiet processes, containers that cost nothing, the environment of this process set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dagy_queue import ContainerRequest
from dagy_queue.local.stack import LocalStack

STUB = ContainerRequest(org_id="bench", image="dagy-local/stub:latest")


@contextmanager
def running_stack(**options: object) -> Iterator[LocalStack]:
    """Start a stack with one dispatcher and one bridge."""
    with LocalStack(**options) as stack:
        os.environ.update(stack.environment)
        stack.spawn("dispatcher", "--log-level=warning")
        stack.spawn("bridge", "--log-level=warning")
        yield stack
