"""The queues of the account: making, finding and describing them, and where their dead letters go. The service's
operations work on it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from dagy_queue.local.ports import AwsError
from dagy_queue.local.sqs.attributes import DEFAULTS, checked
from dagy_queue.local.sqs.errors import invalid_value, no_such_queue
from dagy_queue.local.sqs.messages import Message, State
from dagy_queue.local.sqs.queue import Queue

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


class Entry:
    """One queue with its attributes and tags."""

    def __init__(self, queue: Queue, url: str, arn: str, given: dict[str, str]) -> None:
        self.queue = queue
        self.url = url
        self.arn = arn
        self.tags: dict[str, str] = {}
        self.given: dict[str, str] = {}
        self.created = int(time.time())
        self.dead_letter_arn = ""
        self.max_receives = 0
        self.update(given)

    def update(self, given: Mapping[str, str]) -> None:
        """Set attributes; an empty document removes it."""
        self.given = {name: value for name, value in {**self.given, **given}.items() if value != ""}
        self.modified = int(time.time())
        redrive = json.loads(self.given.get("RedrivePolicy", "{}"))
        self.dead_letter_arn = redrive.get("deadLetterTargetArn", "")
        self.max_receives = int(redrive.get("maxReceiveCount", 0))
        self.queue.retention = float(self.value("MessageRetentionPeriod"))

    def value(self, name: str) -> str:
        """Return an attribute that can be set, or its default."""
        return self.given.get(name) or DEFAULTS[name]

    def described(self) -> dict[str, str]:
        """Return every attribute that GetQueueAttributes knows."""
        return {
            **DEFAULTS,
            **self.given,
            "QueueArn": self.arn,
            "CreatedTimestamp": str(self.created),
            "LastModifiedTimestamp": str(self.modified),
            "ApproximateNumberOfMessages": str(self.queue.count(State.READY)),
            "ApproximateNumberOfMessagesDelayed": str(self.queue.count(State.DELAYED)),
            "ApproximateNumberOfMessagesNotVisible": str(self.queue.count(State.HIDDEN)),
        }


class Registry:
    """Queues by name. ``base_url`` is the gateway's address, the first part of every queue URL."""

    def __init__(self, base_url: str, region: str, account: str) -> None:
        self._base_url = f"{base_url.rstrip('/')}/{account}"
        self._arn_prefix = f"arn:aws:sqs:{region}:{account}:"
        self.entries: dict[str, Entry] = {}

    def create(self, name: str, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> Entry:
        """Create a queue, or return the one of that name if its attributes agree."""
        if not _NAME.fullmatch(name):
            raise invalid_value(
                "QueueName",
                name,
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length."
                " (FIFO queues are not part of the local SQS.)",
            )
        given = checked(attributes)
        entry = self.entries.get(name)
        if entry is None:
            queue = Queue(name, self._bury)
            entry = Entry(queue, f"{self._base_url}/{name}", self._arn_prefix + name, given)
            entry.tags.update(tags)
            self.entries[name] = entry
            return entry
        for attribute, value in given.items():
            if entry.described().get(attribute) != value:
                raise AwsError(
                    "QueueNameExists",
                    f"A queue already exists with the same name and a different value for attribute {attribute}",
                )
        return entry

    def delete(self, entry: Entry) -> None:
        """Remove a queue and its messages."""
        del self.entries[entry.queue.name]
        entry.queue.close()

    def by_name(self, name: str) -> Entry:
        """Find a queue. Raises QueueDoesNotExist."""
        entry = self.entries.get(name)
        if entry is None:
            raise no_such_queue()
        return entry

    def by_arn(self, arn: str) -> Entry | None:
        """Find a queue by its ARN."""
        if not arn.startswith(self._arn_prefix):
            return None
        return self.entries.get(arn.removeprefix(self._arn_prefix))

    def sources_of(self, arn: str) -> list[Entry]:
        """Return the queues whose dead letters go to a queue."""
        return [entry for entry in self.entries.values() if entry.dead_letter_arn == arn]

    def stats(self) -> dict[str, Any]:
        """Return counters and depths of every queue."""
        return {
            name: {
                **asdict(entry.queue.counters),
                "ready": entry.queue.count(State.READY),
                "delayed": entry.queue.count(State.DELAYED),
                "in_flight": entry.queue.count(State.HIDDEN),
                "waiting_receivers": entry.queue.waiting_receivers,
            }
            for name, entry in self.entries.items()
        }

    def _bury(self, queue: Queue, message: Message) -> bool:
        source = self.entries.get(queue.name)
        if source is None or not source.max_receives or message.receives < source.max_receives:
            return False
        target = self.by_arn(source.dead_letter_arn)
        if target is None:
            return False
        target.queue.send(replace(queue.withdraw(message), source_arn=source.arn))
        return True
