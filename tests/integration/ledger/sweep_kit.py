"""Messages that get lost, and time that has passed: for the tests of what the reconciler looks for."""

from __future__ import annotations

import json

from dagy_queue.ids import AttemptId
from dagy_queue.ledger import Continuation, RedisConnection
from dagy_queue.ledger.sweeps import SentAgain, SweepLedger
from tests.integration.ledger.admission_kit import ARN, Scene

LONG = 3600.0


def launched(scene: Scene, run_id: str) -> AttemptId:
    scene.park(run_id)
    assert scene.granted() == [run_id]
    attempt_id = AttemptId(run_id, 1)
    scene.admission.launched(attempt_id, f"{ARN}-{run_id}")
    return attempt_id


def message(run_id: str, queue: str = "queue") -> Continuation:
    return Continuation(queue, json.dumps({"headers": {"id": run_id}, "properties": {"delivery_tag": "tag"}}))


def ids(connection: RedisConnection, queue: str = "queue") -> list[str]:
    """Return the ids of the messages in a list, the next one first."""
    return [json.loads(text)["headers"]["id"] for text in reversed(connection.client.lrange(queue, 0, -1))]


def lose(connection: RedisConnection, queue: str = "queue") -> None:
    """Do what a worker does that dies with a message in hand."""
    assert connection.client.rpop(queue)


def set_back(connection: RedisConnection, index: str, member: str, seconds: float = 100) -> None:
    connection.client.zadd(connection.key(index), {member: -1000 * seconds}, incr=True, xx=True)


def set_message_back(
    connection: RedisConnection, kind: str, run_id: str, seconds: float = 100, queue: str = "queue"
) -> None:
    """Have a message of a list ("published" or "resumed") sent so much earlier."""
    set_back(connection, f"{kind}:{queue}", run_id, seconds)


def lost(sweeps: SweepLedger) -> list[SentAgain]:
    return sweeps.lost_messages(10, LONG, 100)
