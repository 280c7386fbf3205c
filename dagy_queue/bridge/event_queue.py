"""The event queue: SQS's calls on it in batches of ten, and a received message as a value.

Consumers, the heartbeat and the dead-letter commands work on queues through it. Its errors are ours (AwsError).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagy_queue.aws.errors import mapped
from dagy_queue.bridge.parts import in_parts

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

BATCH = 10
"""Messages in one SQS call (SQS API reference: ReceiveMessage, DeleteMessageBatch)."""
_SYSTEM_ATTRIBUTES: Any = ("ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SentTimestamp")


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A message in hand. Times are seconds since 1970, 0 where SQS does not tell."""

    message_id: str
    receipt: str
    body: str
    receives: int = 1
    sent_at: float = 0.0
    first_received_at: float = 0.0
    attributes: Mapping[str, str] | None = None


class EventQueue:
    """One SQS queue."""

    def __init__(self, sqs: SQSClient, url: str, *, wait_seconds: int, visibility_timeout: int) -> None:
        self.url = url
        self._sqs = sqs
        self._wait_seconds = wait_seconds
        self._visibility_timeout = visibility_timeout

    def receive(self, *, with_attributes: bool = False) -> list[Received]:
        """Wait for messages and receive up to ten."""
        with mapped("sqs:ReceiveMessage"):
            answer = self._sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=self._wait_seconds,
                VisibilityTimeout=self._visibility_timeout,
                MessageSystemAttributeNames=_SYSTEM_ATTRIBUTES,
                MessageAttributeNames=["All"] if with_attributes else [],
            )
        return [_received(message) for message in answer.get("Messages", [])]

    def send(self, body: str, attributes: Mapping[str, str] | None = None) -> str:
        """Send a message, and return its id; attributes are texts."""
        values: Any = {k: {"DataType": "String", "StringValue": v} for k, v in (attributes or {}).items()}
        with mapped("sqs:SendMessage"):
            answer = self._sqs.send_message(QueueUrl=self.url, MessageBody=body, MessageAttributes=values)
        return answer["MessageId"]

    def delete(self, messages: Sequence[Received]) -> list[Received]:
        """Delete messages; return those that SQS did not delete."""
        left: list[Received] = []
        for batch in in_parts(messages, BATCH):
            with mapped("sqs:DeleteMessageBatch"):
                answer = self._sqs.delete_message_batch(
                    QueueUrl=self.url,
                    Entries=[{"Id": str(i), "ReceiptHandle": m.receipt} for i, m in enumerate(batch)],
                )
            left += [batch[int(entry["Id"])] for entry in answer.get("Failed", [])]
        return left

    def hide(self, messages: Sequence[Received], seconds: int) -> list[Received]:
        """Hide messages for so long from now on, 0 gives them back; return those for which that failed."""
        left: list[Received] = []
        for batch in in_parts(messages, BATCH):
            with mapped("sqs:ChangeMessageVisibilityBatch"):
                answer = self._sqs.change_message_visibility_batch(
                    QueueUrl=self.url,
                    Entries=[
                        {"Id": str(i), "ReceiptHandle": m.receipt, "VisibilityTimeout": seconds}
                        for i, m in enumerate(batch)
                    ],
                )
            left += [batch[int(entry["Id"])] for entry in answer.get("Failed", [])]
        return left

    def purge(self) -> None:
        """Delete every message."""
        with mapped("sqs:PurgeQueue"):
            self._sqs.purge_queue(QueueUrl=self.url)


def _received(message: MessageTypeDef) -> Received:
    system: Mapping[str, str] = message.get("Attributes", {})  # type: ignore[assignment]
    given = message.get("MessageAttributes", {})
    return Received(
        message_id=message.get("MessageId", ""),
        receipt=message["ReceiptHandle"],
        body=message.get("Body", ""),
        receives=int(system.get("ApproximateReceiveCount", "1")),
        sent_at=int(system.get("SentTimestamp", "0")) / 1000,
        first_received_at=int(system.get("ApproximateFirstReceiveTimestamp", "0")) / 1000,
        attributes={name: value.get("StringValue", "") for name, value in given.items()},
    )
