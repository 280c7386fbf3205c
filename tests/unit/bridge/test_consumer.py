from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from dagy_queue.bridge.consumer import Consumer
from dagy_queue.errors import AwsThrottled, RedisUnavailable
from dagy_queue.ledger import Phase, RedisConnection, RunLedger
from dagy_queue.settings import BridgeSettings, RedisSettings
from tests.unit.kit import TASK_ARN, body, event, stopped_event, stubbed
from tests.unit.ledger.kit import launched_run

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/dagy-task-events"
SETTINGS = BridgeSettings(queue_url=QUEUE, wait_seconds=7, visibility_timeout=33)


@pytest.fixture
def sqs() -> Iterator[tuple[Any, Stubber]]:
    with stubbed("sqs") as both:
        yield both


def receives(stub: Stubber, *bodies: str) -> None:
    messages = [{"MessageId": f"m{n}", "ReceiptHandle": f"r{n}", "Body": text} for n, text in enumerate(bodies)]
    expected = {"QueueUrl": QUEUE, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 7, "VisibilityTimeout": 33}
    stub.add_response("receive_message", {"Messages": messages} if messages else {}, expected)


def deletes(stub: Stubber, *handles: str, failed: int = 0) -> None:
    entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]
    failures = [{"Id": str(n), "SenderFault": False, "Code": "InternalError"} for n in range(failed)]
    answer = {"Successful": [{"Id": e["Id"]} for e in entries[failed:]], "Failed": failures}
    stub.add_response("delete_message_batch", answer, {"QueueUrl": QUEUE, "Entries": entries})


def consumer(client: Any, connection: RedisConnection) -> Consumer:
    return Consumer(client, QUEUE, RunLedger(connection), SETTINGS, "worker")


def test_an_event_is_applied_and_its_message_deleted(sqs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    launched_run(connection, "run")
    receives(sqs[1], body(event("run", lastStatus="RUNNING")))
    deletes(sqs[1], "r0")
    assert consumer(sqs[0], connection).turn() == 1
    entry = RunLedger(connection).get("run")
    assert (entry.phase, entry.task_arn) == (Phase.RUNNING, TASK_ARN)


def test_a_stopped_task_resumes_its_run(sqs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    launched_run(connection, "run")
    receives(sqs[1], body(stopped_event("run")))
    deletes(sqs[1], "r0")
    consumer(sqs[0], connection).turn()
    assert RunLedger(connection).get("run").phase is Phase.STOPPED
    assert connection.client.llen("resumed") == 1


def test_events_that_change_nothing_are_deleted_as_well(sqs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    launched_run(connection, "run")
    old, stranger, again = event("run", version=1), event("stranger"), stopped_event("run")
    receives(sqs[1], body(again), body(again), body(old), body(stranger))
    deletes(sqs[1], "r0", "r1", "r2", "r3")
    assert consumer(sqs[0], connection).turn() == 4
    assert connection.client.llen("resumed") == 1


def test_a_message_that_cannot_be_read_stays_for_the_dead_letter_queue(
    sqs: tuple[Any, Stubber], connection: RedisConnection
) -> None:
    launched_run(connection, "run")
    receives(sqs[1], "nonsense", body(event("run")))
    deletes(sqs[1], "r1")
    assert consumer(sqs[0], connection).turn() == 1


def test_nothing_is_deleted_if_nothing_can_be_read(sqs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    receives(sqs[1], "nonsense")
    assert consumer(sqs[0], connection).turn() == 0


def test_an_empty_receive_is_no_work(sqs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    receives(sqs[1])
    assert consumer(sqs[0], connection).turn() == 0


def test_a_message_that_cannot_be_deleted_is_no_error(sqs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    launched_run(connection, "run")
    receives(sqs[1], body(stopped_event("run")))
    deletes(sqs[1], "r0", failed=1)
    assert consumer(sqs[0], connection).turn() == 1


def test_nothing_is_deleted_before_the_ledger_has_it(sqs: tuple[Any, Stubber]) -> None:
    nowhere = RedisConnection(RedisSettings(url="redis://127.0.0.1:1/0"))
    receives(sqs[1], body(stopped_event("run")))
    with pytest.raises(RedisUnavailable):
        consumer(sqs[0], nowhere).turn()


def test_an_error_of_sqs_is_one_of_ours(sqs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    sqs[1].add_client_error("receive_message", "ThrottlingException", "Rate exceeded")
    with pytest.raises(AwsThrottled):
        consumer(sqs[0], connection).turn()


@pytest.mark.parametrize("poison", ["[" * 100_000, body(stopped_event(version=float("inf")))])
def test_a_poisonous_message_does_not_hold_up_the_others(
    sqs: tuple[Any, Stubber], connection: RedisConnection, poison: str
) -> None:
    launched_run(connection, "run")
    receives(sqs[1], poison, body(stopped_event("run")))
    deletes(sqs[1], "r1")
    assert consumer(sqs[0], connection).turn() == 1


class Impatient(threading.Event):
    """An event that does not wait, and notes how long it was asked to."""

    def __init__(self, at_most: int) -> None:
        super().__init__()
        self.waits: list[float | None] = []
        self._at_most = at_most

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if len(self.waits) >= self._at_most:
            self.set()
        return self.is_set()


class BrokenSqs:
    """Answers every call with the same error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def receive_message(self, **_: Any) -> Any:
        raise self._error


THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "ReceiveMessage")


def test_failing_calls_are_repeated_with_growing_delays(connection: RedisConnection) -> None:
    stopping = Impatient(9)
    consumer(BrokenSqs(THROTTLED), connection).run(stopping)
    waits = [wait or 0 for wait in stopping.waits]
    assert waits == sorted(waits)
    assert waits[0] < waits[1] < waits[2]
    assert waits[-1] == waits[-2] <= 60


def test_a_defect_does_not_end_the_loop(connection: RedisConnection) -> None:
    stopping = Impatient(3)
    consumer(BrokenSqs(ZeroDivisionError()), connection).run(stopping)
    assert len(stopping.waits) == 3


def test_a_consumer_that_is_told_to_stop_receives_nothing_more(connection: RedisConnection) -> None:
    stopping = threading.Event()
    stopping.set()
    consumer(BrokenSqs(AssertionError("received")), connection).run(stopping)


def test_the_attempt_of_an_event_must_be_the_runs(sqs: tuple[Any, Stubber], connection: RedisConnection) -> None:
    launched_run(connection, "run")
    receives(sqs[1], body(stopped_event("run", attempt=2)))
    deletes(sqs[1], "r0")
    consumer(sqs[0], connection).turn()
    assert RunLedger(connection).get("run").phase is Phase.SUBMITTED
