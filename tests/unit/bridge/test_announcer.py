from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery.worker.consumer.gossip import Gossip
from kombu import Connection
from structlog.testing import capture_logs

from dagy_queue.bridge import announcer as module
from dagy_queue.bridge.announcer import Announcer
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.watching import WatchLedger
from dagy_queue.messaging.app import make_app
from tests.integration.waiting import eventually
from tests.unit.kit import settings_on
from tests.unit.ledger.kit import parked_run


def drain(*connections: Connection) -> None:
    for connection in connections:
        with suppress(TimeoutError):
            connection.drain_events(timeout=0.05)


def test_the_heartbeat_of_a_cluster_reaches_monitors_and_leaves_the_gossip_of_other_workers_alone(
    connection: RedisConnection, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_on(connection)
    app = make_app(settings)
    announcer = Announcer(settings, WatchLedger(connection), app)
    gossip = Gossip(SimpleNamespace(app=app, hostname="celery@shop", pid=1, timer=Mock(), hub=None))
    heard: list[dict[str, Any]] = []
    with app.connection_for_read() as worker, app.connection_for_read() as monitor, worker.channel() as channel:
        (gossiping,) = gossip.get_consumers(channel)
        receiver = app.events.Receiver(monitor, handlers={"worker-heartbeat": heard.append})
        with gossiping, receiver.consumer_context() as (listening, _, _):

            def hears_beats() -> bool:
                announcer.beat()
                drain(listening, worker)
                return len(heard) > 2

            eventually(hears_beats, "beats are heard")
    assert heard[0]["hostname"].startswith("ecs@")
    assert not caplog.records
    assert not gossip.state.workers


@pytest.fixture
def announcer(connection: RedisConnection) -> Announcer:
    return Announcer(settings_on(connection), WatchLedger(connection))


def test_a_run_that_cannot_be_told_of_silences_no_other(
    announcer: Announcer, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = module.run_event

    def fails_on_one(run: Any, *rest: Any) -> dict[str, Any]:
        if run.entry.run_id == "odd":
            raise ValueError("a defect")
        return tell(run, *rest)

    monkeypatch.setattr(module, "run_event", fails_on_one)
    for run_id in ("odd", "even"):
        parked_run(connection, run_id)
    with capture_logs() as logs:
        assert announcer.announce(["odd", "even"], []) == 1
    assert [line["run_id"] for line in logs if line["event"] == "run_not_announced"] == ["odd"]


def test_a_new_run_is_announced_as_received_and_as_it_is(announcer: Announcer, connection: RedisConnection) -> None:
    for run_id in ("new", "known"):
        parked_run(connection, run_id)
    assert announcer.announce(["new", "known", "gone"], [], {"new"}) == 3
