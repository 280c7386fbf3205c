"""A run is one pass's at a time, and another one's only when that has ended: claims of a dispatcher's passes."""

from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.dispatch.claims import Claims
from dagy_queue.ledger import Phase, RedisConnection, RunLedger
from dagy_queue.ledger.attempts import Claimant
from tests.integration.waiting import eventually
from tests.unit.dispatch.pass_kit import BADLY, WELL, Dispatcher, away, resumed

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


def test_a_pass_that_ends_outside_of_its_task_leaves_its_run_to_others(
    dispatcher: Dispatcher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = resumed(dispatcher, WELL)
    with monkeypatch.context() as patch:
        patch.setattr(type(dispatcher.task.backend), "mark_as_done", lambda *_, **__: 1 / 0)
        patch.setattr(type(dispatcher.task.backend), "mark_as_failure", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError), pytest.warns(RuntimeWarning):
            dispatcher.works_on(message)
    dispatcher.works_on(message)
    assert dispatcher.services.runs.get("run").phase is Phase.SUCCEEDED


@pytest.mark.parametrize("completion", [WELL, BADLY])
def test_nothing_is_held_of_a_run_that_is_over(dispatcher: Dispatcher, completion: dict[str, Any]) -> None:
    dispatcher.works_on(resumed(dispatcher, completion))
    assert dispatcher.services.claims._held == {}


def test_a_pass_whose_process_ends_leaves_its_run_to_others(dispatcher: Dispatcher) -> None:
    resumed(dispatcher, WELL)
    request = Request()
    dispatcher.services.claims.take(request, 1)
    others = Claims(dispatcher.services.runs, 600)
    assert others.take(Request(), 1) is None
    dispatcher.services.claims.let_go_of_all()
    assert others.take(Request(), 1) is not None


class Request:
    """What a claim needs of a pass's request."""

    id = "run"
    dagy_claim = ""


def test_a_pass_that_lasts_keeps_its_run(dispatcher: Dispatcher, connection: RedisConnection) -> None:
    resumed(dispatcher, WELL)
    claims = Claims(dispatcher.services.runs, 0.2)
    assert claims.take(Request(), 1) is not None
    key = connection.key("run", "run")
    connection.client.hset(key, "claimed", 1)
    claims.start()
    eventually(lambda: connection.client.hget(key, "claimed") != "1", "the pass has given a sign of life")
    claims.stop()
    assert dispatcher.services.runs.claim("run", 1, Claimant("other", 60)) is None


def test_claims_that_cannot_be_told_end_by_themselves(dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    resumed(dispatcher, WELL)
    dispatcher.services.claims.take(Request(), 1)
    monkeypatch.setattr(RunLedger, "drop_claims", away)
    dispatcher.services.claims.let_go_of_all()
    assert dispatcher.services.claims._held == {}
