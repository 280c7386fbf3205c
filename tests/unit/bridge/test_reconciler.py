"""One turn of the reconciler: what fails in it does not keep the rest from being done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from dagy_queue.aws.clients import AwsClients
from dagy_queue.bridge import orphans
from dagy_queue.bridge import reconciler as module
from dagy_queue.bridge.orphans import OrphanSearch
from dagy_queue.bridge.reconciler import Reconciler
from dagy_queue.errors import AwsRefused, LedgerError, RedisUnavailable
from dagy_queue.ids import AttemptId, new_id
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.sweeps import SweepLedger
from dagy_queue.records.base import NO_TABLE
from tests.unit.kit import settings_on

LOOKS = {
    "lost_messages": SweepLedger,
    "look_for_unanswered": OrphanSearch,
    "quiet_tasks": SweepLedger,
    "recount": SweepLedger,
    "sweep": OrphanSearch,
}
"""What a turn does, in its order."""


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The looks of a turn as they are made; all of them find nothing."""
    looks: list[str] = []

    def look(name: str) -> Callable[..., Any]:
        return lambda *_: (looks.append(name), ([], False) if name == "quiet_tasks" else [])[1]

    for name, owner in LOOKS.items():
        monkeypatch.setattr(owner, name, look(name))
    return looks


@pytest.fixture
def reconciler(connection: RedisConnection) -> Reconciler:
    settings = settings_on(connection, reconciler={"interval": 0.001})
    return Reconciler(settings, AwsClients(settings.aws), connection)


def failing(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(LOOKS[name], name, fail)


def test_a_turn_looks_at_everything_and_sweeps_rarely(reconciler: Reconciler, done: list[str]) -> None:
    reconciler.turn()
    assert done == list(LOOKS)
    done.clear()
    reconciler.turn()
    assert done == ["lost_messages", "look_for_unanswered", "quiet_tasks"]


@pytest.mark.parametrize("error", [AwsRefused("ecs:ListTasks: denied"), LedgerError("user_script:7")])
@pytest.mark.parametrize("name", ["lost_messages", "look_for_unanswered", "quiet_tasks"])
def test_a_look_that_fails_is_told_and_the_others_are_made(
    reconciler: Reconciler, done: list[str], monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    failing(monkeypatch, name, error)
    with capture_logs() as logs:
        reconciler.turn()
    assert done == [each for each in LOOKS if each != name]
    assert [line["event"] for line in logs] == ["reconciling_failed"]


def test_without_redis_the_turn_ends_and_the_next_one_begins_anew(
    reconciler: Reconciler, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping, looks = threading.Event(), 0

    def away(*_: Any) -> list[Any]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise RedisUnavailable("away")
        stopping.set()
        return []

    monkeypatch.setattr(SweepLedger, "lost_messages", away)
    with capture_logs() as logs:
        reconciler.run(stopping)
    assert done == ["look_for_unanswered", "recount", "sweep"]  # the second turn, in which it was told to stop
    assert [line["event"] for line in logs] == ["reconciling_failed"]


@pytest.mark.parametrize(
    ("refusal", "stops"),
    [
        (AwsRefused("dynamodb:GetItem: not there", code=NO_TABLE), True),
        (AwsRefused("dynamodb:GetItem: not authorized", code="AccessDeniedException"), False),
        (AwsRefused("dynamodb:GetItem: no credentials", code="NoCredentials"), False),
    ],
)
def test_an_orphan_is_stopped_only_where_the_record_surely_has_no_run_of_it(
    connection: RedisConnection, monkeypatch: pytest.MonkeyPatch, refusal: AwsRefused, stops: bool
) -> None:
    def refuse(_: str) -> None:
        raise refusal

    task = {"taskArn": "arn:aws:ecs:us-east-1:1:task/dagy/1", "startedBy": AttemptId(new_id(), 1).started_by}
    task |= {"lastStatus": "RUNNING", "desiredStatus": "RUNNING", "version": 1, "containers": []}
    monkeypatch.setattr(module, "find_run_of_any_org", refuse)
    monkeypatch.setattr(OrphanSearch, "_running", lambda *_: iter([task["taskArn"]]))
    monkeypatch.setattr(orphans, "describe", lambda *_: ([task], []))
    settings = settings_on(connection, reconciler={"stop_orphans": True})
    with capture_logs() as logs:
        Reconciler(settings, AwsClients(settings.aws), connection)._sweep_if_due()
    [told] = [line for line in logs if line["event"] == "orphan_task"]
    assert (told["task_arn"], told["stopped"]) == (task["taskArn"], stops)
    assert connection.client.exists(connection.key("stops")) == stops
