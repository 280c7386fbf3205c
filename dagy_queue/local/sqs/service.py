"""The operations of SQS over the queues: requests in, answers out, both as the JSON protocol has them. The gateway
calls :meth:`LeanSqs.call` for HTTP and :meth:`LeanSqs.deliver` for EventBridge targets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from dagy_queue.local.ports import AwsError
from dagy_queue.local.sqs.attributes import KNOWN, checked
from dagy_queue.local.sqs.batches import batch_entries, each
from dagy_queue.local.sqs.errors import invalid_value, missing
from dagy_queue.local.sqs.messages import (
    Message,
    Receipt,
    State,
    md5_of_attributes,
    md5_of_body,
)
from dagy_queue.local.sqs.moves import Moves
from dagy_queue.local.sqs.queue import MAX_IN_FLIGHT
from dagy_queue.local.sqs.receiving import received
from dagy_queue.local.sqs.registry import Entry, Registry

Request = Mapping[str, Any]
Answer = dict[str, Any]

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


class LeanSqs:
    """SQS in memory. ``calls`` counts requests by operation."""

    def __init__(self, base_url: str, region: str, account: str) -> None:
        self._registry = Registry(base_url, region, account)
        self._moves = Moves(self._registry)
        self.calls: Counter[str] = Counter()
        self._operations: dict[str, Callable[[Request], Answer]] = {
            "CreateQueue": self._create_queue,
            "GetQueueUrl": lambda request: {"QueueUrl": self._named(request).url},
            "ListQueues": self._list_queues,
            "DeleteQueue": self._delete_queue,
            "GetQueueAttributes": self._get_attributes,
            "SetQueueAttributes": self._set_attributes,
            "SendMessage": lambda request: self._send(self._entry(request), request),
            "SendMessageBatch": self._send_batch,
            "DeleteMessage": lambda request: self._delete(self._entry(request), request),
            "DeleteMessageBatch": lambda request: self._batch(request, self._delete),
            "ChangeMessageVisibility": lambda request: self._change(self._entry(request), request),
            "ChangeMessageVisibilityBatch": lambda request: self._batch(request, self._change),
            "PurgeQueue": self._purge,
            "TagQueue": self._tag,
            "UntagQueue": self._untag,
            "ListQueueTags": lambda request: {"Tags": dict(self._entry(request).tags)},
            "ListDeadLetterSourceQueues": self._dead_letter_sources,
            "StartMessageMoveTask": self._moves.start,
            "ListMessageMoveTasks": self._moves.list,
        }

    async def call(self, operation: str, request: Request) -> Answer:
        """Run one operation. Raises AwsError as SQS would answer it."""
        self.calls[operation] += 1
        if operation == "ReceiveMessage":
            return await self._receive(request)
        run = self._operations.get(operation)
        if run is None:
            raise AwsError("InvalidAction", f"The action {operation} is not valid for this endpoint.")
        return run(request)

    def deliver(self, arn: str, body: str, attributes: Mapping[str, str] | None = None) -> None:
        """Send a message from inside AWS. Raises QueueDoesNotExist for an unknown ARN."""
        entry = self.find(arn)
        strings = {name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items()}
        entry.queue.send(Message(body, strings), int(entry.value("DelaySeconds")))

    def find(self, arn: str) -> Entry:
        """Return a queue by its ARN. Raises QueueDoesNotExist."""
        return self._registry.by_arn(arn) or self._registry.by_name("")

    def stats(self) -> dict[str, Any]:
        """Return counters of every queue and of every operation."""
        return {"queues": self._registry.stats(), "calls": dict(self.calls)}

    def release(self) -> None:
        """Answer all open long polls with nothing, so that whoever waits for one to end need not."""
        for entry in self._registry.entries.values():
            entry.queue.release()

    def close(self) -> None:
        """Answer all long polls: the server is about to stop."""
        for entry in self._registry.entries.values():
            entry.queue.close()

    # -- queues ---------------------------------------------------------------------------------------------------

    def _create_queue(self, request: Request) -> Answer:
        name = _required(request, "QueueName")
        entry = self._registry.create(name, request.get("Attributes") or {}, request.get("tags") or {})
        return {"QueueUrl": entry.url}

    def _list_queues(self, request: Request) -> Answer:
        prefix = request.get("QueueNamePrefix") or ""
        urls = [entry.url for name, entry in sorted(self._registry.entries.items()) if name.startswith(prefix)]
        return {"QueueUrls": urls[: request.get("MaxResults") or 1000]} if urls else {}

    def _delete_queue(self, request: Request) -> Answer:
        self._registry.delete(self._entry(request))
        return {}

    def _get_attributes(self, request: Request) -> Answer:
        described = self._entry(request).described()
        names = request.get("AttributeNames") or []
        if "All" in names:
            return {"Attributes": described}
        for name in names:
            if name not in KNOWN:
                raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")
        return {"Attributes": {name: described[name] for name in names if name in described}}

    def _set_attributes(self, request: Request) -> Answer:
        self._entry(request).update(checked(_required(request, "Attributes")))
        return {}

    def _purge(self, request: Request) -> Answer:
        self._entry(request).queue.purge()
        return {}

    def _tag(self, request: Request) -> Answer:
        self._entry(request).tags.update(request.get("Tags") or {})
        return {}

    def _untag(self, request: Request) -> Answer:
        for key in request.get("TagKeys") or []:
            self._entry(request).tags.pop(key, None)
        return {}

    def _dead_letter_sources(self, request: Request) -> Answer:
        return {"queueUrls": [entry.url for entry in self._registry.sources_of(self._entry(request).arn)]}

    # -- messages ---------------------------------------------------------------------------------------------------

    def _send(self, entry: Entry, request: Request) -> Answer:
        message = self._message(entry, request)
        delay = request.get("DelaySeconds")
        if delay is not None:
            _within("DelaySeconds", delay, 0, 900)
        entry.queue.send(message, int(entry.value("DelaySeconds")) if delay is None else delay)
        answer = {"MessageId": message.message_id, "MD5OfMessageBody": md5_of_body(message.body)}
        if message.attributes:
            answer["MD5OfMessageAttributes"] = md5_of_attributes(message.attributes)
        return answer

    def _message(self, entry: Entry, request: Request) -> Message:
        body = _required(request, "MessageBody")
        if _FORBIDDEN.search(body):
            raise AwsError("InvalidMessageContents", "Invalid characters found.")
        system = request.get("MessageSystemAttributes") or {}
        trace = system.get("AWSTraceHeader", {}).get("StringValue")
        attributes = request.get("MessageAttributes") or {}
        if len(attributes) > 10:
            raise invalid_value("MessageAttributes", len(attributes), "At most 10 message attributes.")
        message = Message(body, attributes, trace)
        limit = int(entry.value("MaximumMessageSize"))
        if message.size > limit:
            raise AwsError(
                "InvalidParameterValueException",
                f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes.",
            )
        return message

    def _send_batch(self, request: Request) -> Answer:
        entry = self._entry(request)
        entries = batch_entries(request)
        size = sum(len(str(one.get("MessageBody", "")).encode()) for one in entries)
        if size > 1_048_576:
            raise AwsError(
                "BatchRequestTooLong",
                f"Batch requests cannot be longer than 1048576 bytes. You have sent {size} bytes.",
            )
        return each(entries, lambda one: self._send(entry, one))

    async def _receive(self, request: Request) -> Answer:
        entry = self._entry(request)
        limit = request.get("MaxNumberOfMessages", 1)
        _within("MaxNumberOfMessages", limit, 1, 10)
        visibility = request.get("VisibilityTimeout")
        visibility = int(entry.value("VisibilityTimeout")) if visibility is None else visibility
        _within("VisibilityTimeout", visibility, 0, 43_200)
        wait = request.get("WaitTimeSeconds")
        wait = int(entry.value("ReceiveMessageWaitTimeSeconds")) if wait is None else wait
        _within("WaitTimeSeconds", wait, 0, 20)
        if entry.queue.count(State.HIDDEN) >= MAX_IN_FLIGHT and wait == 0:
            raise AwsError("OverLimit", f"Too many messages in flight ({MAX_IN_FLIGHT}).")
        taken = await entry.queue.take_waiting(limit, visibility, wait)
        return {"Messages": [received(entry, message, request) for message in taken]} if taken else {}

    def _delete(self, entry: Entry, request: Request) -> Answer:
        entry.queue.delete(self._receipt(entry, request))
        return {}

    def _change(self, entry: Entry, request: Request) -> Answer:
        seconds = _required(request, "VisibilityTimeout")
        _within("VisibilityTimeout", seconds, 0, 43_200)
        receipt = self._receipt(entry, request)
        if not entry.queue.change_visibility(receipt, seconds):
            raise invalid_value(
                "ReceiptHandle",
                receipt.handle,
                "Message does not exist or is not available for visibility timeout change.",
            )
        return {}

    def _batch(self, request: Request, run: Callable[[Entry, Request], Answer]) -> Answer:
        entry = self._entry(request)
        return each(batch_entries(request), lambda one: run(entry, one))

    def _receipt(self, entry: Entry, request: Request) -> Receipt:
        handle = _required(request, "ReceiptHandle")
        receipt = Receipt.parse(handle)
        if not entry.queue.knows(receipt):
            raise AwsError("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is for another queue.')
        return receipt

    def _named(self, request: Request) -> Entry:
        return self._registry.by_name(_required(request, "QueueName"))

    def _entry(self, request: Request) -> Entry:
        return self._registry.by_name(_required(request, "QueueUrl").rsplit("/", 1)[-1])


def _required(request: Request, name: str) -> Any:
    value = request.get(name)
    if value is None or value == "":
        raise missing(name)
    return value


def _within(name: str, value: Any, low: int, high: int) -> None:
    if not (isinstance(value, int) and low <= value <= high):
        raise invalid_value(name, value, f"Must be between {low} and {high}, if provided.")
