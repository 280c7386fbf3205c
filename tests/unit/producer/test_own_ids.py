"""Ids of the caller's own: known for as long as the ledger knows them, refused for as long as their result is kept."""

from __future__ import annotations

from typing import Any

import pytest
from celery import states

from dagy_queue.errors import RedisUnavailable, RequestInvalid
from dagy_queue.ledger import RedisConnection
from dagy_queue.messaging.names import FAN_OUT_QUEUE, LAUNCH_QUEUE
from dagy_queue.producer.batch import callback_id
from dagy_queue.producer.fan_out import fan_out
from dagy_queue.producer.launcher import DagLauncher
from dagy_queue.producer.publisher import Publisher
from dagy_queue.settings import load_settings
from tests.unit.producer.conftest import on

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}
BATCH_ID = "0b0e8a3e-3a1c-4a63-9a1c-0d6a4b1f3c55"
REFUSED = r"{} = '{}': a new id: it was used before, and its result is still kept"


@pytest.fixture
def launcher(publisher: Publisher) -> DagLauncher:
    return DagLauncher(publisher.settings)


def ended(publisher: Publisher, task_id: str, state: str) -> None:
    value = RuntimeError("of the first") if state in states.EXCEPTION_STATES else "of the first"
    publisher.app.backend.store_result(task_id, value, state)


def forgotten(connection: RedisConnection, *key: str) -> None:
    for name in connection.client.scan_iter(connection.key(*key, "*")):
        connection.client.delete(name)


@pytest.mark.parametrize("state", [states.SUCCESS, states.FAILURE, states.REVOKED])
def test_the_id_of_a_run_that_is_forgotten_is_refused_while_its_result_is_kept(
    launcher: DagLauncher, publisher: Publisher, connection: RedisConnection, state: str
) -> None:
    launcher.enqueue(**FLOW, run_id="nightly")
    ended(publisher, "nightly", state)
    assert launcher.enqueue(**FLOW, run_id="nightly").entry().run_id == "nightly"
    forgotten(connection, "run")
    with pytest.raises(RequestInvalid, match=REFUSED.format("run_id", "nightly")):
        launcher.enqueue(**FLOW, run_id="nightly")
    result = launcher.launch(**FLOW, run_id="nightly")
    assert not result.success
    assert "a new id" in str(result.error_message)
    assert connection.client.llen(LAUNCH_QUEUE) == 1


def test_the_id_of_a_run_whose_result_is_gone_too_is_a_new_one(
    launcher: DagLauncher, connection: RedisConnection
) -> None:
    launcher.enqueue(**FLOW, run_id="nightly")
    forgotten(connection, "run")
    launcher.enqueue(**FLOW, run_id="nightly")
    assert connection.client.llen(LAUNCH_QUEUE) == 2


def test_a_run_that_parks_is_no_result(launcher: DagLauncher, publisher: Publisher) -> None:
    ended(publisher, "nightly", "PARKED")
    assert launcher.launch(**FLOW, run_id="nightly").success


@pytest.mark.parametrize("task_id", [callback_id(BATCH_ID), BATCH_ID])
def test_the_id_of_a_batch_that_is_forgotten_is_refused_while_a_result_of_it_is_kept(
    publisher: Publisher, connection: RedisConnection, task_id: str
) -> None:
    fan_out(**FLOW, shards=[{}], batch_id=BATCH_ID, launcher=on(publisher))
    ended(publisher, task_id, states.SUCCESS)
    again = fan_out(**FLOW, shards=[{}], batch_id=BATCH_ID.upper(), launcher=on(publisher))
    assert again.batch_id == BATCH_ID
    forgotten(connection, "batch")
    with pytest.raises(RequestInvalid, match=REFUSED.format("batch_id", BATCH_ID)):
        fan_out(**FLOW, shards=[{}], batch_id=BATCH_ID.upper(), launcher=on(publisher))
    assert connection.client.llen(FAN_OUT_QUEUE) == 1


def test_results_out_of_reach_are_an_error_of_ours_and_nothing_is_launched(
    publisher: Publisher, connection: RedisConnection
) -> None:
    apart = load_settings(redis={"url": publisher.settings.redis.url, "result_url": "redis://127.0.0.1:1/0"})
    with pytest.raises(RedisUnavailable):
        DagLauncher(apart).enqueue(**FLOW, run_id="nightly")
    assert not connection.client.exists(LAUNCH_QUEUE)
