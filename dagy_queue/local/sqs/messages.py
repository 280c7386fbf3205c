"""One SQS message, its receipt handles and its checksums. Made by the service, kept and moved by queues."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

from dagy_queue.local.sqs.errors import invalid_receipt


class State(Enum):
    """Where a message is: waiting, delayed, received and hidden, or in no queue."""

    READY = "ready"
    DELAYED = "delayed"
    HIDDEN = "hidden"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Message:
    """A message with everything a receiver may ask for. ``number`` and ``hiding`` belong to its queue."""

    body: str
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trace_header: str | None = None
    source_arn: str | None = None
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    sent_at: float = field(default_factory=time.time)
    receives: int = 0
    first_received_at: float = 0.0
    state: State = State.GONE
    number: int = 0
    hiding: int = 0

    @property
    def size(self) -> int:
        """Bytes that count against the message size limit."""
        return len(self.body.encode()) + sum(
            len(name) + len(value.get("DataType", "")) + len(_attribute_value(value))
            for name, value in self.attributes.items()
        )

    def renewed(self) -> Message:
        """Return the message as a redrive task sends it: the same content as a new message."""
        return Message(self.body, self.attributes, self.trace_header)

    def system_attributes(self) -> dict[str, str]:
        """Return what ReceiveMessage reports as ``Attributes``."""
        found = {
            "SenderId": "local",
            "SentTimestamp": str(int(self.sent_at * 1000)),
            "ApproximateReceiveCount": str(self.receives),
            "ApproximateFirstReceiveTimestamp": str(int(self.first_received_at * 1000)),
        }
        if self.trace_header:
            found["AWSTraceHeader"] = self.trace_header
        if self.source_arn:
            found["DeadLetterQueueSourceArn"] = self.source_arn
        return found


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt handle means: the how-manieth receipt of which message of which queue."""

    queue: str
    number: int
    receives: int

    @property
    def handle(self) -> str:
        """The opaque text that travels."""
        return base64.b64encode(f"{self.queue}|{self.number}|{self.receives}".encode()).decode()

    @classmethod
    def parse(cls, handle: Any) -> Self:
        """Read a handle. Raises ReceiptHandleIsInvalid for text that SQS never gave out."""
        try:
            queue, number, receives = base64.b64decode(handle, validate=True).decode().split("|")
            return cls(queue, int(number), int(receives))
        except (ValueError, TypeError, binascii.Error) as exc:
            raise invalid_receipt(handle) from exc


def md5_of_body(body: str) -> str:
    """Return MD5OfMessageBody."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return MD5OfMessageAttributes, by the algorithm in the SQS developer guide ("Calculating the MD5 message digest
    for message attributes")."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        value = attributes[name]
        kind = str(value.get("DataType", ""))
        for part in (name.encode(), kind.encode()):
            digest.update(len(part).to_bytes(4, "big") + part)
        content = _attribute_value(value)
        transport = b"\x02" if kind.startswith("Binary") else b"\x01"
        digest.update(transport + len(content).to_bytes(4, "big") + content)
    return digest.hexdigest()


def _attribute_value(value: Mapping[str, Any]) -> bytes:
    if str(value.get("DataType", "")).startswith("Binary"):
        return base64.b64decode(value.get("BinaryValue", ""))
    return str(value.get("StringValue", "")).encode()
