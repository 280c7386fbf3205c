"""The local stack of the integration tests: one of everything, all processes real, shared by the whole session."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, _state, signature
from celery.canvas import Signature
from celery.result import AsyncResult

from dagy_queue import launch_sig, settings
from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from dagy_queue.messaging import app as messaging_app
from dagy_queue.messaging import publication
from dagy_queue.operate.flows import push_flow
from dagy_queue.producer import publisher
from dagy_queue.records.base import Record
from tests.integration.application import QUEUE, make_application

ORG = "acme"
FLOWS = Path(__file__).parent / "flows" / "basics.py"
FLOW_NAMES = ("echo", "total", "broken", "flaky", "sleepy", "surroundings", "vanishing")
TIMEOUT = 60


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Redis, AWS, a dispatcher and a bridge."""
    with LocalStack(data_dir=tmp_path_factory.mktemp("stack")) as running:
        os.environ.update(running.environment)
        forget_settings()
        running.spawn("dispatcher", environment={"DAGY_QUEUE__DISPATCH__LEASE_SECONDS": "5"})
        running.spawn("bridge", environment={"DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "2"})
        yield running
        let_go_of_results()
    for name in running.environment:
        os.environ.pop(name, None)
    forget_settings()


@contextmanager
def stack_of_its_own(data_dir: Path, *, simulate: bool = True) -> Iterator[LocalStack]:
    """A stack for one module: this process's settings, app and tables are that stack's meanwhile."""
    with LocalStack(data_dir=data_dir, simulate=simulate) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        forget_settings()
        patch.setattr(_state._tls, "current_app", messaging_app.default_app(), raising=False)
        yield running
        let_go_of_results()
    forget_settings()


def let_go_of_results() -> None:
    """Have Celery unsubscribe from the results it listens for, while their Redis is there.

    It keeps some of those that nobody waits for, such as the children of an error callback.
    """
    gc.collect()
    for result in [each for each in gc.get_objects() if isinstance(each, AsyncResult)]:
        with suppress(RuntimeError):  # the Redis of another stack, which has ended
            result.backend.remove_pending_result(result)


def forget_settings() -> None:
    """Let this process read its settings again."""
    settings.settings.cache_clear()
    Record.bound = False
    messaging_app.default_app.cache_clear()
    publication._parts.cache_clear()
    publisher.default_publisher.cache_clear()


@pytest.fixture(scope="session")
def flows(stack: LocalStack) -> LocalStack:
    """The stack with the tests' flows registered."""
    for name in FLOW_NAMES:
        push_flow(stack.settings(), FLOWS, org_id=ORG, flow=name)
    return stack


@pytest.fixture(scope="session")
def application(flows: LocalStack) -> Iterator[Celery]:
    """A user's application with a worker of its own."""
    app = make_application(flows.redis_url)
    app.set_default()
    command = [sys.executable, "-m", "celery", "-A", "tests.integration.application", "worker"]
    options = ["--pool=threads", "--concurrency=4", f"--queues={QUEUE}", "--hostname=application@%h"]
    worker = Child("application", [*command, *options], log=flows.log_dir / "application.log")
    yield app
    worker.stop()


@pytest.fixture
def echo() -> Callable[..., Signature]:
    """Make the signature of a launch that returns ``value``."""

    def make(value: Any = None, **options: Any) -> Signature:
        return launch_sig(flow_name="echo", org_id=ORG, parameters={"value": value}, **options)

    return make


@pytest.fixture
def noted(flows: LocalStack) -> Callable[[str], list[str]]:
    """Wait for what the application noted under a key."""
    # One that waits: a client gives a call up after five seconds, calls again, and what came in between is lost.
    client = redis.Redis.from_url(flows.redis_url, decode_responses=True, socket_timeout=None)

    def read(key: str) -> list[str]:
        if (first := client.blpop([f"noted:{key}"], timeout=TIMEOUT)) is None:
            raise AssertionError(f"nothing was noted under {key}")
        return [first[1], *client.lrange(f"noted:{key}", 0, -1)]

    return read


def app_sig(name: str, *args: Any, **options: Any) -> Signature:
    """Return the signature of one of the application's tasks."""
    return signature(f"app.{name}", args=args, queue=QUEUE, **options)
