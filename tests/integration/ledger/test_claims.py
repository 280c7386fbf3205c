"""Who concludes a run: one pass at a time, and another one only when that is dead."""

from __future__ import annotations

import pytest

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Phase, RedisConnection, RunLedger, RunStatus
from dagy_queue.ledger.attempts import Claimant
from tests.unit.ledger.kit import RESUMED, launched_run

DONE = {"outcome": {"kind": "succeeded", "summary": "ok"}}
ONE, OTHER = Claimant("one", 600), Claimant("other", 600)


@pytest.fixture
def attempt_id(connection: RedisConnection, runs: RunLedger) -> AttemptId:
    """A run that has stopped, and whose message was sent."""
    found = launched_run(connection, "r")
    runs.complete(found, DONE)
    return found


def silent_for(connection: RedisConnection, seconds: int) -> None:
    connection.client.hincrby(connection.key("run", "r"), "claimed", -seconds * 1000)


@pytest.mark.usefixtures("attempt_id")
def test_one_pass_has_a_run_however_often_its_message_comes(runs: RunLedger) -> None:
    assert runs.claim("r", 1, ONE) is not None
    assert [runs.claim("r", 1, OTHER) for _ in range(2)] == [None, None]
    assert runs.claim("r", 1, ONE) is not None, "it may ask again: an answer can be lost"


@pytest.mark.usefixtures("attempt_id")
def test_a_claimant_that_gives_no_sign_of_life_loses_the_run(runs: RunLedger, connection: RedisConnection) -> None:
    runs.claim("r", 1, ONE)
    silent_for(connection, 599)
    assert runs.claim("r", 1, OTHER) is None
    silent_for(connection, 2)
    assert runs.claim("r", 1, OTHER) is not None
    assert runs.claim("r", 1, ONE) is None


@pytest.mark.usefixtures("attempt_id")
def test_a_sign_of_life_keeps_a_claim(runs: RunLedger, connection: RedisConnection) -> None:
    runs.claim("r", 1, ONE)
    silent_for(connection, 700)
    runs.keep_claims({"one": "r", "stranger": "r", "late": "nobody"})
    assert runs.claim("r", 1, OTHER) is None
    assert not connection.client.exists(connection.key("run", "nobody"))


@pytest.mark.usefixtures("attempt_id")
def test_a_claim_is_dropped_by_the_one_who_has_it(runs: RunLedger) -> None:
    runs.claim("r", 1, ONE)
    runs.drop_claims({"other": "r"})
    assert runs.claim("r", 1, OTHER) is None
    runs.drop_claims({"one": "r"})
    assert runs.claim("r", 1, OTHER) is not None


def test_a_message_that_is_sent_once_more_is_anybodys(runs: RunLedger, attempt_id: AttemptId) -> None:
    runs.claim("r", 1, ONE)
    runs.retry(attempt_id, 0)
    assert runs.claim("r", 1, ONE) is None


def test_a_claimant_whose_run_was_resumed_again_cannot_keep_it(
    runs: RunLedger, attempt_id: AttemptId, connection: RedisConnection
) -> None:
    runs.claim("r", 1, ONE)
    assert runs.postpone(attempt_id, 0, 5, longest=60)
    from dagy_queue.ledger import AdmissionLedger

    AdmissionLedger(connection).lease(1, 60)
    assert connection.client.llen(RESUMED) == 2
    runs.keep_claims({"one": "r"})
    assert runs.claim("r", 2, OTHER) is not None


@pytest.mark.parametrize("known", [True, False])
def test_one_first_pass_ends_a_run_that_cannot_be_parked(
    runs: RunLedger, connection: RedisConnection, known: bool
) -> None:
    if known:
        connection.run("publish", "r", "queue", "{}", "", "")
    assert runs.claim_first("r", ONE)
    assert not runs.claim_first("r", OTHER)
    assert runs.finish(AttemptId("r", 1), RunStatus.FAILED, {"kind": "failed"})
    assert not runs.claim_first("r", ONE)
    assert runs.get("r").phase is Phase.FAILED


@pytest.mark.usefixtures("attempt_id")
def test_a_first_pass_ends_no_run_that_was_parked(runs: RunLedger) -> None:
    assert not runs.claim_first("r", ONE)
