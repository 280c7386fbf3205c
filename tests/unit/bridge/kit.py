"""A queue in memory that fails on demand, and a consumer that works on it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from dagy_queue.bridge.applying import Applier
from dagy_queue.bridge.consumer import Consumer
from dagy_queue.bridge.dead_letters import DeadLetterQueue
from dagy_queue.bridge.event_queue import EventQueue
from dagy_queue.bridge.hand import Hand
from dagy_queue.bridge.quarantine import Quarantine
from dagy_queue.bridge.shared import Shared
from dagy_queue.bridge.verdicts import Rules
from dagy_queue.ledger import RedisConnection, RunLedger

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/dagy-task-events"
DEAD = f"{QUEUE}-dlq"
DEAD_LETTERS = DeadLetterQueue(DEAD, 10)
POLICY = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dagy-task-events-dlq", "maxReceiveCount": 10}


def refusal(code: str, operation: str = "ReceiveMessage") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)


THROTTLED = refusal("ThrottlingException")


@dataclass
class Message:
    body: str
    message_id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    receives: int = 0
    hidden: int | None = None
    """The visibility timeout that it has; None where it can be received."""


class FakeSqs:
    """SQS as far as the bridge uses it. Hidden messages come back when a test says so."""

    def __init__(self, policy: dict[str, Any] | None = POLICY) -> None:
        self.queues: dict[str, list[Message]] = {QUEUE: [], DEAD: []}
        self.calls: Counter[str] = Counter()
        self.hidings: list[tuple[str, int]] = []
        self.errors: dict[str, list[Exception]] = {}
        """What the next calls of an operation raise."""
        self.partly: dict[str, list[set[str]]] = {}
        """The message ids for which the next batches of an operation fail."""
        self.before: dict[str, Callable[[], object]] = {}
        self.policy = policy
        self._sent = 0

    def put(self, *bodies: str, url: str = QUEUE, receives: int = 0) -> None:
        for body in bodies:
            self._add(url, body, {}).receives = receives

    def reappear(self) -> None:
        for queue in self.queues.values():
            for message in queue:
                message.hidden = None

    def ids(self, url: str = QUEUE) -> list[str]:
        return [message.message_id for message in self.queues[url]]

    def receive_message(self, *, QueueUrl: str, MaxNumberOfMessages: int, VisibilityTimeout: int, **_: Any) -> Any:  # noqa: N803
        self._called("receive_message")
        found = [m for m in self.queues[QueueUrl] if m.hidden is None][:MaxNumberOfMessages]
        for message in found:
            message.receives += 1
            message.hidden = VisibilityTimeout
        return {"Messages": [self._shown(message) for message in found]}

    def delete_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
        def delete(message_id: str, _: Any) -> None:
            self.queues[QueueUrl] = [m for m in self.queues[QueueUrl] if m.message_id != message_id]

        return self._batch("delete_message_batch", Entries, delete)

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
        def change(message_id: str, entry: Any) -> None:
            self.hidings.append((message_id, entry["VisibilityTimeout"]))
            for message in self.queues[QueueUrl]:
                if message.message_id == message_id:
                    message.hidden = entry["VisibilityTimeout"] or None

        return self._batch("change_message_visibility_batch", Entries, change)

    def send_message(self, *, QueueUrl: str, MessageBody: str, MessageAttributes: Any) -> Any:  # noqa: N803
        self._called("send_message")
        return {"MessageId": self._add(QueueUrl, MessageBody, MessageAttributes).message_id}

    def get_queue_attributes(self, **_: Any) -> Any:
        self._called("get_queue_attributes")
        return {"Attributes": {"RedrivePolicy": json.dumps(self.policy)}} if self.policy else {}

    def get_queue_url(self, *, QueueName: str, **_: Any) -> Any:  # noqa: N803
        self._called("get_queue_url")
        return {"QueueUrl": QUEUE.rpartition("/")[0] + "/" + QueueName}

    def purge_queue(self, *, QueueUrl: str) -> Any:  # noqa: N803
        self.queues[QueueUrl] = []

    def _add(self, url: str, body: str, attributes: Any) -> Message:
        message = Message(body, f"m{self._sent}", attributes)
        self._sent += 1
        self.queues[url].append(message)
        return message

    def _shown(self, message: Message) -> Any:
        return {
            "MessageId": message.message_id,
            "ReceiptHandle": f"receipt/{message.message_id}",
            "Body": message.body,
            "Attributes": {
                "ApproximateReceiveCount": str(message.receives),
                "SentTimestamp": "1767225600000",
                "ApproximateFirstReceiveTimestamp": "1767225601000",
            },
            "MessageAttributes": message.attributes,
        }

    def _called(self, operation: str) -> None:
        self.calls[operation] += 1
        if operation in self.before:
            self.before[operation]()
        if errors := self.errors.get(operation):
            raise errors.pop(0)

    def _batch(self, operation: str, entries: Any, run: Callable[[str, Any], None]) -> Any:
        self._called(operation)
        failing = self.partly.get(operation, [])
        fails = failing.pop(0) if failing else set()
        assert 0 < len(entries) <= 10
        failed = []
        for entry in entries:
            message_id = entry["ReceiptHandle"].removeprefix("receipt/")
            if message_id in fails:
                failed.append({"Id": entry["Id"], "Code": "InternalError", "SenderFault": False})
            else:
                run(message_id, entry)
        return {"Failed": failed} if failed else {}


@dataclass
class Desk:
    """A consumer and everything around it."""

    sqs: Any
    consumer: Consumer
    hand: Hand
    shared: Shared

    def count(self, kind: str) -> float:
        return self.shared.metrics.registry.get_sample_value("dagy_bridge_messages_total", {"kind": kind}) or 0.0

    def failures(self, call: str) -> float:
        return self.shared.metrics.registry.get_sample_value("dagy_bridge_failures_total", {"call": call}) or 0.0


def make_desk(
    sqs: Any,
    connection: RedisConnection,
    *,
    url: str = QUEUE,
    dead: DeadLetterQueue | None = DEAD_LETTERS,
    is_recorded: Callable[[str], bool] = lambda _run_id: False,
    max_receives: int = 3,
    visibility_timeout: int = 33,
    now: Callable[[], float] = time.monotonic,
) -> Desk:
    """Return a consumer, with what is around it, of a queue and a ledger."""

    def connect(to: str) -> EventQueue:
        return EventQueue(sqs, to, wait_seconds=7, visibility_timeout=visibility_timeout)

    shared, queue = Shared.fresh(), connect(url)
    hand = Hand(queue, visibility_timeout, shared.troubles, now)
    quarantine = Quarantine(lambda: dead, connect, is_recorded, shared.troubles)
    rules = Rules(max_receives=max_receives, finished_ttl=3600, container_name="worker")
    applier = Applier(RunLedger(connection), hand, shared)
    return Desk(sqs, Consumer(queue, hand, applier, quarantine, rules, shared), hand, shared)
