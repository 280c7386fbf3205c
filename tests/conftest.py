"""Fixtures of all tests: an environment without anything of ours or AWS's in it, and a real Redis."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from functools import cache

import pytest
import structlog
from botocore import session
from hypothesis import HealthCheck, settings

from dagy_queue.ledger import RedisConnection
from dagy_queue.local.redis_server import RedisServer
from dagy_queue.settings import RedisSettings

# structlog's own default draws tracebacks with the values of all variables, which takes seconds each.
*_before, _renderer = structlog.get_config()["processors"]
structlog.configure([*_before, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])

# How long an example takes says something of the machine, and nothing of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

for name in [n for n in os.environ if n.startswith(("DAGY_", "AWS_"))]:
    del os.environ[name]

# A shell that runs the tests in the background has them ignore Ctrl-C, and with them all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _aws_models_are_read_once() -> Iterator[None]:
    """Let all of botocore's sessions share a loader: reading its models anew is most of what a client costs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "create_loader", cache(session.create_loader))
        yield


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test run's own."""
    server = RedisServer()
    server.start()
    yield server
    # Celery's results unsubscribe when they are collected; they must not find their Redis gone.
    gc.collect()
    server.stop()


@pytest.fixture
def connection(redis_server: RedisServer) -> Iterator[RedisConnection]:
    """A connection to an empty ledger."""
    connection = RedisConnection(RedisSettings(url=redis_server.url))
    connection.client.flushdb()
    yield connection
    connection.close()
