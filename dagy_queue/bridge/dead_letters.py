"""The dead-letter queue: finding it, what a message there says of itself, and working through it.

The quarantine sends to it with the attributes named here; ``operate/commands/dlq.py`` lists, redrives and purges it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dagy_queue.aws.errors import mapped
from dagy_queue.bridge.event_queue import EventQueue, Received
from dagy_queue.errors import SettingsInvalid
from dagy_queue.settings import BridgeSettings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

REASON, FIRST_SEEN, MESSAGE_ID = "dagy.reason", "dagy.first_seen", "dagy.message_id"
"""Message attributes: why it is here, when the bridge first received it, and its id in the event queue."""
HELD_SECONDS = 60
"""How long a command keeps a message from others while it looks through the queue."""
_LONGEST_REASON = 1000


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """Where messages go that cannot be applied; ``max_receives`` is the redrive policy's, 0 without one."""

    url: str
    max_receives: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A message in the dead-letter queue. Times are in ISO format, '' where nobody said."""

    message_id: str
    """Its id in the event queue, which is also the id in this queue if SQS moved it itself."""
    reason: str
    first_seen: str
    sent: str
    run_id: str
    body: str

    def to_dict(self) -> dict[str, str]:
        """Return the plain form."""
        names = ("message_id", "reason", "first_seen", "sent", "run_id", "body")
        return {name: getattr(self, name) for name in names}


def find_queue_url(sqs: SQSClient, settings: BridgeSettings) -> str:
    """Return the event queue's URL. Raises an AwsError if there is no such queue."""
    if settings.queue_url:
        return settings.queue_url
    with mapped("sqs:GetQueueUrl"):
        return sqs.get_queue_url(QueueName=settings.queue_name)["QueueUrl"]


def find_dead_letters(sqs: SQSClient, queue_url: str, settings: BridgeSettings) -> DeadLetterQueue | None:
    """Return the dead-letter queue: the settings', else the redrive policy's; None if there is none."""
    with mapped("sqs:GetQueueAttributes"):
        answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["RedrivePolicy"])
    policy: dict[str, Any] = json.loads(answer.get("Attributes", {}).get("RedrivePolicy") or "{}")
    max_receives = int(policy.get("maxReceiveCount", 0))
    if settings.dead_letter_url:
        return DeadLetterQueue(settings.dead_letter_url, max_receives)
    if "deadLetterTargetArn" not in policy:
        return None
    account, name = str(policy["deadLetterTargetArn"]).split(":")[-2:]
    with mapped("sqs:GetQueueUrl"):
        url = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
    return DeadLetterQueue(url, max_receives)


def require_dead_letters(sqs: SQSClient, queue_url: str, settings: BridgeSettings) -> DeadLetterQueue:
    """Return the dead-letter queue. Raises SettingsInvalid if there is none."""
    if (found := find_dead_letters(sqs, queue_url, settings)) is not None:
        return found
    raise SettingsInvalid(
        f"the queue {queue_url} has no dead-letter queue: give it a redrive policy (docs/bridge.md), or name the queue "
        "with DAGY_QUEUE__BRIDGE__DEAD_LETTER_URL"
    )


def quarantine_attributes(message: Received, reason: str) -> dict[str, str]:
    """Return what a quarantined message says of itself, in the characters that SQS allows."""
    clean = "".join(c if c.isprintable() and ord(c) < 0xFFFE else "?" for c in reason)[:_LONGEST_REASON]
    first_seen = message.first_received_at or message.sent_at
    return {
        REASON: clean or "?",
        FIRST_SEEN: _iso(first_seen) or "?",
        MESSAGE_ID: message.message_id or "?",
    }


def dead_letter(message: Received) -> DeadLetter:
    """Read a message of the dead-letter queue."""
    said = message.attributes or {}
    return DeadLetter(
        message_id=said.get(MESSAGE_ID) or message.message_id,
        reason=_reason(said),
        first_seen=said.get(FIRST_SEEN, ""),
        sent=_iso(message.sent_at),
        run_id=_run_id(message.body),
        body=message.body,
    )


class DeadLetters:
    """Goes through the dead-letter queue, giving every message back at the end that was not deleted."""

    def __init__(self, queue: EventQueue, limit: int) -> None:
        self._queue = queue
        self._limit = limit
        self._gone: set[str] = set()

    def read(self) -> list[DeadLetter]:
        """Return what is there."""
        with closing(self._walk()) as walk:
            return [dead_letter(message) for message in walk]

    def find(self, message_id: str) -> DeadLetter | None:
        """Return one message by its id, in this queue or in the event queue."""
        with closing(self._walk()) as walk:
            return next((dead_letter(message) for message in walk if message_id in _ids(message)), None)

    def redrive(self, target: EventQueue, wanted: Collection[str] | None) -> list[DeadLetter]:
        """Send messages back to the event queue (all of them if None are named), each before it is deleted here.

        One that comes here again meanwhile stays.
        """
        moved: list[DeadLetter] = []
        sent: set[str] = set()
        missing = None if wanted is None else set(wanted)
        with closing(self._walk()) as walk:
            for message in walk:
                if sent & _ids(message) or (missing is not None and not missing & _ids(message)):
                    continue
                sent.add(target.send(message.body))
                if not self._queue.delete([message]):
                    self._gone.add(message.message_id)
                moved.append(dead_letter(message))
                if missing is not None:
                    missing -= _ids(message)
                    if not missing:
                        break
        return moved

    def _walk(self) -> Generator[Received]:
        """Yield each message once, held from others while the walk lasts."""
        held: dict[str, Received] = {}
        try:
            while len(held) < self._limit:
                messages = self._queue.receive(with_attributes=True)
                fresh = [message for message in messages if message.message_id not in held]
                fresh = fresh[: self._limit - len(held)]
                held |= {message.message_id: message for message in messages}
                if not fresh:
                    return
                yield from fresh
        finally:
            self._queue.hide([message for key, message in held.items() if key not in self._gone], 0)


def _ids(message: Received) -> set[str]:
    return {message.message_id, dead_letter(message).message_id}


def _reason(said: Mapping[str, str]) -> str:
    if REASON in said:
        return said[REASON]
    if "ERROR_CODE" in said:
        return f"EventBridge could not deliver it: {said['ERROR_CODE']}: {said.get('ERROR_MESSAGE', '')}"
    return "SQS moved it here: it was received too often without being deleted"


def _run_id(body: str) -> str:
    """Return the run that a body names, for people; '' if it names none."""
    try:
        return str(json.loads(body)["detail"]["startedBy"].split("/")[1])
    except Exception:  # noqa: BLE001 - anything may be in there
        return ""


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else ""
