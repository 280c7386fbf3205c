"""A dispatcher is killed while it ends a batch, right before or right after the step that does it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from celery import chain, chord
from celery.exceptions import ChordError

from dagy_queue.dispatch.batch_end import end_batch
from dagy_queue.dispatch.services import Services
from dagy_queue.ledger import RedisConnection
from dagy_queue.messaging.app import make_app
from tests.unit.dispatch.batch_end_kit import FAILED, expanded, over
from tests.unit.dispatch.pass_kit import app_sig, sent
from tests.unit.kit import settings_on

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

DISPATCHER = """
import os, signal, sys

from dagy_queue.dispatch.batch_end import end_batch
from dagy_queue.dispatch.services import Services
from dagy_queue.messaging.app import make_app
from dagy_queue.settings import load_settings

url, batch_id, moment = sys.argv[1:]
settings = load_settings(redis={"url": url})
services = Services.build(settings, make_app(settings))
end = services.batches.end

def end_and_die(*arguments):
    if moment == "after":
        end(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

services.batches.end = end_and_die
end_batch(services, batch_id)
"""


@pytest.fixture
def services(connection: RedisConnection) -> Services:
    config = settings_on(connection)
    return Services.build(config, make_app(config))


def killed(services: Services, batch_id: str, moment: str) -> None:
    """Have another process end a batch and be killed at a moment of that."""
    command = [sys.executable, "-c", DISPATCHER, services.settings.redis.url, batch_id, moment]
    found = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    assert found.returncode == -signal.SIGKILL


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_chord_is_called_back_once(services: Services, connection: RedisConnection, moment: str) -> None:
    callback = chord([app_sig("a"), chain(app_sig("b"), app_sig("c"))], app_sig("d"))
    batch = expanded(services, 2, callback=callback)
    over(services, batch, {0: 1, 1: 2})
    killed(services, batch.batch_id, moment)
    end_batch(services, batch.batch_id)
    assert sorted(sent(connection, "app")) == ["app.a", "app.b"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_error_callbacks_are_called_once(services: Services, connection: RedisConnection, moment: str) -> None:
    callback = chain(app_sig("a"), app_sig("b"))
    callback.on_error(app_sig("first"))
    callback.on_error(chain(app_sig("second"), app_sig("third")))
    batch = expanded(services, 1, callback=callback)
    over(services, batch, {0: FAILED})
    killed(services, batch.batch_id, moment)
    end_batch(services, batch.batch_id)
    assert sorted(sent(connection, "app")) == ["app.first", "app.second"]
    with pytest.raises(ChordError, match="1 of 1 shards failed"):
        batch.get(timeout=5)
